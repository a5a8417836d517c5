import pytest
from heterosis.core.contracts import Item, Task
from heterosis.core.estimate import Estimate
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from heterosis.testing.tasks import check_task
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

QUESTIONS = [
    {"prompt": f"question {word} answer", "choices": [" one two", " one", " ten", " seven"], "answer": number % 4}
    for number, word in enumerate(("fox", "dog", "capital", "country", "lazy"))
]


@pytest.fixture(scope="module")
def model():
    return TransformersModel(tiny_model("llama", 5), tiny_tokenizer())


def test_multiple_choice(write, model):
    check_task("multiple_choice", write(*QUESTIONS), model)
    check_task("multiple_choice", write(*QUESTIONS), model, normalize="characters")


def test_exact_match(write, model):
    prompts = [question["prompt"] for question in QUESTIONS]
    texts = model.generate(prompts, 4, ["\n"])
    answers = [text.strip() or "?" for text in texts]
    right, wrong = zip(prompts[:3], answers[:3], strict=True), zip(prompts[3:], ["no", "no"], strict=True)
    path = write(*({"prompt": prompt, "answer": answer} for prompt, answer in (*right, *wrong)))
    check_task("exact_match", path, model, max_tokens=4)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metric": "chrf++", "script": "Latin"},
        {"metric": "f1", "tokens": "characters", "language": "en", "among": ["it"]},
        {"metric": "adherence", "script": ["Latin", "Greek"]},
    ],
)
def test_generation(write, model, options):
    texts = model.generate([question["prompt"] for question in QUESTIONS], 4, ["\n"])
    answers = [[text.strip() or "?", "the lazy dog"] for text in texts[:3]] + ["the lazy fox"] * 2
    path = write(*({"prompt": q["prompt"], "answer": a} for q, a in zip(QUESTIONS, answers, strict=True)))
    check_task("generation", path, model, max_tokens=4, **options)


def test_graded(write, model):
    path = write(*({"prompt": question["prompt"], "answer": 1 + question["answer"]} for question in QUESTIONS))
    check_task("graded", path, model, max_tokens=4)


def test_perplexity(write, model):
    check_task("perplexity", write("the quick brown fox jumps over the lazy dog. " * 8, name="text.txt"), characters=60)


class _Broken(MultipleChoice):
    name = "broken"


class _Growing(_Broken):
    def score(self, model, items):
        for item in items:
            item.data["prompt"] = "Question: " + item.data["prompt"]
        return super().score(model, items)


class _Sorted(_Broken):
    """Gives the scores in the order of the ids, as if by position in the file."""

    def score(self, model, items):
        scores = super().score(model, sorted(items, key=lambda item: item.id))
        return [score / 2 + len(item.id) / 20 for score, item in zip(scores, items, strict=True)]


class _Percent(_Broken):
    def score(self, model, items):
        return [50.0 for _ in items]


class _Surprised(_Broken):
    def summarise(self, items, scores):
        return Estimate(12.5, 0.1, len(items))


class _Lazy(_Broken):
    def score(self, model, items):
        return super().score(model, items[:2])


class _Careless(_Broken):
    @classmethod
    def open(cls, path, **options):
        return super().open(path)


class _SameIds(_Broken):
    @classmethod
    def open(cls, path, **options):
        task = super().open(path, **options)
        task.items = tuple(Item("id", item.data) for item in task.items)
        return task


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        (_Growing, "scoring changed the items' data"),
        (_Sorted, "when asked"),
        (_Percent, "has the score 50.0"),
        (_Surprised, "the summary is 12.5, which is no share; set `share` to false"),
        (_Lazy, "2 scores for 5 items"),
        (_Careless, "took an unknown option"),
        (_SameIds, r"share the ids \['id'\]"),
    ],
)
def test_a_task_that_breaks_the_contract_is_found_out(write, model, task: type[Task], complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_task(task, write(*({**question, "id": "z" * (6 - n)} for n, question in enumerate(QUESTIONS))), model)
