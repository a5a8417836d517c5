"""Tiny models, each made once, and one thread: more of them cost tiny models more than they give."""

import functools

import pytest
import torch
from heterosis.testing.tiny import tiny_model, tiny_tokenizer


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def model_of():
    return functools.cache(tiny_model)


@pytest.fixture(scope="session")
def alone(tokenizer):
    """The definition that every faster path is held to: one unpadded sequence per forward pass."""

    @torch.inference_mode()
    def log_likelihood(model, prompt, continuation):
        start, rest = list(prompt), list(continuation)
        logits = model(torch.tensor([start + rest], device=model.device)).logits[0].float().log_softmax(-1)
        return sum(logits[len(start) + place - 1, token].item() for place, token in enumerate(rest))

    return log_likelihood
