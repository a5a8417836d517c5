"""Tasks of the harness whose data lie in local files, a tiny model, and the harness's own evaluation of it."""

import json
import os

import pytest
import yaml
from heterosis.core.contracts import LanguageModel
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.plugins.tasks.lm_eval import LmEval
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

if not os.environ.get("CI"):  # there, it must be installed
    pytest.importorskip("lm_eval")

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
CHOICE = {
    "task": "tiny_choice",
    "output_type": "multiple_choice",
    "doc_to_text": "question {{question}} answer",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{label}}",
    "metric_list": [
        {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm", "exact_match")
    ],
}
QUESTIONS = [
    {
        "question": f"{WORDS[place % 12]} {WORDS[place // 3]}",
        "choices": [WORDS[(place + step) % 12] + " fox" * (step % 3) for step in range(4)],
        "label": place % 4,
    }
    for place in range(24)
]


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path_factory):
    """Data sets are cached in a temporary folder."""
    import datasets

    folder = tmp_path_factory.getbasetemp() / "datasets"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", folder / "downloads")


@pytest.fixture
def write_task(tmp_path):
    """`write_task(CHOICE, QUESTIONS, shots=[...], num_fewshot=1)`: a task file beside its data."""

    def write(config, documents, shots=None, name="task", **changes):
        files = {"test": documents, **({"train": shots} if shots else {})}
        for split, content in files.items():
            lines = "\n".join(json.dumps(document) for document in content)
            (tmp_path / f"{name}-{split}.jsonl").write_text(lines, encoding="utf-8")
        data = {split: f"{name}-{split}.jsonl" for split in files}
        splits = {"test_split": "test", **({"training_split": "train", "fewshot_split": "train"} if shots else {})}
        content = {**config, "dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": data}}
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**content, **splits, **changes}, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def open_task(write_task):
    """As `write_task`, opened; options in a dictionary."""

    def open_written(config, documents, options=None, **changes):
        return LmEval.open(write_task(config, documents, **changes), **(options or {}))

    return open_written


@pytest.fixture(scope="session")
def networks():
    """The same weights, as transformers' model and as ours."""
    model, tokenizer = tiny_model("llama", 5, max_position_embeddings=1024), tiny_tokenizer()
    tokenizer.model_max_length = 1024
    return model, tokenizer, TransformersModel(model, tokenizer)


@pytest.fixture(scope="session")
def model(networks):
    return networks[2]


class Scripted(LanguageModel):
    """Writes the text that a function gives for a prompt, and remembers what it was asked."""

    def __init__(self, text_of=lambda prompt: ""):
        self.text_of, self.asked = text_of, []

    def choice_log_likelihoods(self, requests):
        self.asked.extend(requests)
        return [[-float(len(text)) for text in continuations] for _, continuations in requests]

    def text_log_likelihoods(self, texts):
        self.asked.extend(texts)
        return [(-float(len(text)), len(text) - 1) for text in texts]

    def generate(self, prompts, max_tokens, stop=()):
        self.asked.extend((prompt, max_tokens, tuple(stop)) for prompt in prompts)
        return [self.text_of(prompt) for prompt in prompts]


@pytest.fixture
def scripted():
    return Scripted


@pytest.fixture
def choice():
    return CHOICE, QUESTIONS


@pytest.fixture
def evaluate(networks, monkeypatch):
    """The harness's own evaluation of a task file: for each filter, a list of (document, figures)."""

    def run(path, num_fewshot=None, **settings):
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager

        monkeypatch.chdir(path.parent)  # where the harness looks for data files
        network, tokenizer, _ = networks
        found = simple_evaluate(
            model=HFLM(pretrained=network, tokenizer=tokenizer, batch_size=4, **settings),
            tasks=[str(path)],
            task_manager=TaskManager(include_defaults=False),
            num_fewshot=num_fewshot,
            log_samples=True,
            bootstrap_iters=0,
        )
        name = yaml.safe_load(path.read_text())["task"]
        by_filter = {}
        for sample in found["samples"][name]:
            by_filter.setdefault(sample["filter"], []).append((sample["doc"], sample))
        return by_filter

    return run
