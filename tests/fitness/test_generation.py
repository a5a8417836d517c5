import copy

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.generation import cut
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.testing.tiny import FAMILIES
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

PROMPTS = ["one two", "the quick brown fox jumps over the lazy dog", "a", "question answer question", "nine"]


@torch.inference_mode()
def _greedy(model, tokenizer, prompt, max_tokens):
    """Token after token, each from a full forward pass over all that is there so far."""
    tokens = tokenizer(prompt)["input_ids"]
    length = len(tokens)
    for _ in range(max_tokens):
        token = int(model(torch.tensor([tokens])).logits[0, -1].argmax())
        if token == tokenizer.eos_token_id:
            break
        tokens = [*tokens, token]
    return tokenizer.decode(tokens[length:], skip_special_tokens=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_each_prompt_gives_alone(model_of, tokenizer, family):
    model = model_of(family, 4)
    expected = [_greedy(model, tokenizer, prompt, 12) for prompt in PROMPTS]
    assert TransformersModel(model, tokenizer).generate(PROMPTS, 12) == expected
    assert TransformersModel(model, tokenizer, batch_tokens=50).generate(PROMPTS, 12) == expected


@pytest.mark.parametrize("family", ["mistral", "gemma3"])
def test_a_batch_longer_than_the_sliding_window_gives_what_each_prompt_gives_alone(model_of, tokenizer, family):
    model = model_of(family, 4, sliding_window=6)
    expected = [_greedy(model, tokenizer, prompt, 10) for prompt in PROMPTS]
    assert TransformersModel(model, tokenizer).generate(PROMPTS, 10) == expected


def test_a_text_ends_before_the_first_stop_string(model_of, tokenizer):
    model = TransformersModel(model_of("llama", 4), tokenizer)
    whole = model.generate(PROMPTS, 12)
    early, late = whole[1][2:4], whole[1][5:7]
    stopped = model.generate(PROMPTS, 12, stop=[late, early])
    assert stopped[1] == whole[1][: min(whole[1].find(early), whole[1].find(late))]
    assert stopped == [cut(text, [early, late]) for text in whole]


def test_the_forward_passes_end_with_the_last_row(model_of, tokenizer):
    model = copy.deepcopy(model_of("llama", 4))
    text = TransformersModel(model, tokenizer).generate(["one two"], 30)[0]
    passes = []
    model.lm_head.register_forward_hook(lambda *_: passes.append(1))
    TransformersModel(model, tokenizer).generate(["one two"], 30, stop=[text[0]])
    assert len(passes) < 5


def test_an_end_token_ends_the_text_and_is_no_part_of_it(model_of, tokenizer):
    model = copy.deepcopy(model_of("llama", 4))
    tokens = _tokens(model, tokenizer, PROMPTS[0], 12)
    end = next(token for place, token in enumerate(tokens) if place > 2 and token not in tokens[:place])
    model.generation_config.eos_token_id = [2, end]
    texts = TransformersModel(model, tokenizer).generate(PROMPTS, 12)
    assert texts[0] == tokenizer.decode(tokens[: tokens.index(end)])
    assert [TransformersModel(model, tokenizer).generate([prompt], 12)[0] for prompt in PROMPTS] == texts


def test_the_checkpoints_sampling_settings_are_set_aside_and_put_back(model_of, tokenizer):
    model = copy.deepcopy(model_of("llama", 4))
    expected = TransformersModel(model, tokenizer).generate(PROMPTS, 8)
    own = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=3.0, min_new_tokens=9, eos_token_id=2)
    model.generation_config = own
    assert TransformersModel(model, tokenizer).generate(PROMPTS, 8) == expected
    assert model.generation_config is own


def test_the_space_between_prompt_and_text_is_kept(model_of):
    words = Tokenizer(models.WordLevel({f"▁{number}": number for number in range(384)}, unk_token="▁0"))
    words.pre_tokenizer, words.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)
    assert tokenizer.decode([7, 8]) == "7 8"
    text = TransformersModel(model_of("llama", 4), tokenizer).generate(["5 6"], 3)[0]
    assert text == "".join(f" {token}" for token in _tokens(model_of("llama", 4), tokenizer, "5 6", 3))


@pytest.mark.parametrize(("arguments", "complaint"), [((["a"], 0), "max_tokens is 0"), ((["a"], 3, [""]), "is empty")])
def test_arguments_that_make_no_sense_are_refused(model_of, tokenizer, arguments, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        TransformersModel(model_of("llama", 4), tokenizer).generate(*arguments)


def _tokens(model, tokenizer, prompt, count):
    tokens = torch.tensor([tokenizer(prompt)["input_ids"]])
    with torch.inference_mode():
        for _ in range(count):
            tokens = torch.cat([tokens, model(tokens).logits[:, -1:].argmax(-1)], dim=1)
    return tokens[0, -count:].tolist()
