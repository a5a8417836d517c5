"""Ids by content, prompts that stay, filters apart, and what is refused."""

import random

import numpy as np
import pytest
from heterosis.core import registry
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.core.study_spec import TaskSpec
from heterosis.fitness.item_sets import load_items
from heterosis.plugins.tasks.lm_eval import LmEval
from heterosis.storage import ItemSet
from heterosis.testing.tasks import RecordingModel, check_task

GSM8K = {
    "task": "sums",
    "output_type": "generate_until",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["Question:"], "max_gen_toks": 32, "do_sample": False},
    "filter_list": [
        {
            "name": "strict-match",
            "filter": [{"function": "regex", "regex_pattern": r"#### (\-?[0-9\.\,]+)"}, {"function": "take_first"}],
        },
        {
            "name": "flexible-extract",
            "filter": [
                {"function": "regex", "group_select": -1, "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)"},
                {"function": "take_first"},
            ],
        },
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
SUMS = [{"question": f"{n} + {n}?", "answer": str(2 * n)} for n in range(11, 31)]


def requests_of(task):
    return {item.id: item.data["requests"] for item in task.items}


def test_it_keeps_the_contract_of_tasks(write_task, choice, model):
    config, questions = choice
    path = write_task(config, questions[6:], shots=questions[:6], num_fewshot=1)
    for metric in ("acc", "acc_norm", "exact_match"):
        check_task("lm_eval", path, model, metric=metric)


def test_texts_keep_the_contract_of_tasks(write_task, model):
    check_task("lm_eval", write_task({**GSM8K, "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6}}, SUMS), model)


def test_each_filter_is_a_rule_of_its_own(open_task, scripted):
    def answer(prompt):
        number = int(prompt.split("+")[1].split("?")[0])
        return {0: f" So\n#### {2 * number}", 1: f" It is {2 * number}", 2: f" 5 #### {2 * number} and 7"}[number % 3]

    strict, flexible = (open_task(GSM8K, SUMS, {"filter": f}) for f in ("strict-match", "flexible-extract"))
    remainder = [int(item.data["doc"]["answer"]) // 2 % 3 for item in strict.items]
    assert strict.score(scripted(answer), strict.items) == [float(r in (0, 2)) for r in remainder]
    assert flexible.score(scripted(answer), flexible.items) == [float(r in (0, 1)) for r in remainder]
    assert (strict.rule["filter"], flexible.rule["filter"]) == ("strict-match", "flexible-extract")
    assert strict.items == flexible.items
    assert ItemSet.of(strict.rule, strict.items).id != ItemSet.of(flexible.rule, flexible.items).id


def test_the_first_filter_is_the_default(open_task):
    assert open_task(GSM8K, SUMS).rule == open_task(GSM8K, SUMS, {"filter": "strict-match"}).rule


def test_a_metric_is_a_rule_of_its_own(open_task, choice):
    rules = [open_task(*choice, {"metric": metric}).rule for metric in ("acc", "acc_norm")]
    assert [rule["metric"] for rule in rules] == ["acc", "acc_norm"]
    assert open_task(*choice).rule == rules[0]


def test_a_changed_regular_expression_is_another_rule(open_task):
    changed = [GSM8K["filter_list"][0], {**GSM8K["filter_list"][1], "filter": [{"function": "take_first"}]}]
    assert open_task({**GSM8K, "filter_list": changed}, SUMS).rule != open_task(GSM8K, SUMS).rule


def test_prompts_stay_as_they_are_from_one_evaluation_to_the_next(open_task, choice, model):
    config, questions = choice
    task = open_task(config, questions[6:], shots=questions[:6], num_fewshot=2)
    asked = []
    for _ in range(3):
        recording = RecordingModel(model)
        task.score(recording, task.items)
        asked.append(recording.asked)
    assert asked[0] == asked[1] == asked[2]
    again = open_task(config, questions[6:], shots=questions[:6], num_fewshot=2)
    assert requests_of(again) == requests_of(task)


def test_examples_are_drawn_with_the_seed_and_not_the_global_state(open_task, choice):
    config, questions = choice

    def opened(seed):
        return requests_of(open_task(config, questions[6:], {"fewshot_seed": seed}, shots=questions[:6], num_fewshot=2))

    first = opened(1)
    random.seed(99)
    np.random.seed(99)
    state = random.getstate()
    assert opened(1) == first
    assert random.getstate() == state
    assert opened(2) != first


def test_an_item_is_asked_the_same_in_any_company(open_task, choice, model):
    config, questions = choice
    task = open_task(config, questions[6:], shots=questions[:6], num_fewshot=2)
    expected = dict(zip((item.id for item in task.items), task.score(model, task.items), strict=True))
    assert len(set(expected.values())) == 2
    order = list(task.items)
    random.Random(3).shuffle(order)
    for company in (order, order[::2], order[:1]):
        recording = RecordingModel(model)
        scores = task.score(recording, company)
        assert scores == [expected[item.id] for item in company]
        assert {prompt for _, prompt, _ in recording.asked} == {item.data["requests"][0][1] for item in company}


def test_answers_go_to_the_items_that_were_asked(open_task, scripted):
    task = open_task(GSM8K, SUMS)
    right = {task.items[place].data["requests"][0][1] for place in (1, 4, 9)}
    answers = {item.data["requests"][0][1]: f"#### {item.data['doc']['answer']}" for item in task.items}
    model = scripted(lambda prompt: answers[prompt] if prompt in right else "#### 0")
    asked = [task.items[place] for place in (9, 0, 4, 3, 1)]
    assert task.score(model, asked) == [1.0, 0.0, 1.0, 0.0, 1.0]


def test_the_order_of_the_file_changes_neither_ids_nor_which_items_are_searched(write_task):
    shuffled = SUMS[:]
    random.Random(1).shuffle(shuffled)
    found = []
    for name, documents in (("one", SUMS), ("two", shuffled)):
        path = write_task(GSM8K, documents, name=name)
        spec = TaskSpec.from_dict({"type": "lm_eval", "file": path.name, "items": 8}, "study, task 'sums'")
        staged = load_items("sums", spec, path.parent, seed=5)
        found.append({stage: [(item.id, item.data) for item in group.items] for stage, group in staged.items()})
    assert found[0] == found[1]
    assert [len(group) for group in found[0].values()] == [8, 6, 6]


def test_a_document_that_comes_twice_is_asked_once(open_task):
    assert [i.id for i in open_task(GSM8K, [*SUMS, SUMS[3]]).items] == [i.id for i in open_task(GSM8K, SUMS).items]


def test_a_split_may_be_chosen(open_task):
    task = open_task(GSM8K, SUMS[5:], {"split": "train"}, shots=SUMS[:5])
    assert [item.data["doc"]["answer"] for item in task.items] == [document["answer"] for document in SUMS[:5]]


def test_texts_are_asked_as_the_task_says(open_task, scripted):
    model = scripted()
    task = open_task(GSM8K, SUMS, {"num_fewshot": 1}, shots=SUMS[:3])
    task.score(model, task.items[:1])
    ((prompt, max_tokens, stop),) = model.asked
    assert prompt.count("Question:") == 2
    assert (max_tokens, stop) == (32, ("Question:",))


def test_what_the_metric_does_not_read_is_not_asked(open_task, choice, scripted):
    task, model = open_task(*choice), scripted()
    task.score(model, task.items[:2])
    assert [len(request) for request in model.asked] == [2, 2]  # (prompt, choices), and no text


def test_a_task_that_is_named_needs_no_file():
    spec = TaskSpec.from_dict({"type": "lm_eval", "task": "arc_easy", "items": 50}, "study, task 'arc'")
    assert (spec.file, spec.files, spec.options) == (None, {}, {"task": "arc_easy"})
    assert TaskSpec.from_dict(spec.to_dict(), "again") == spec
    with pytest.raises(ConfigurationError, match="say how many `items`"):
        TaskSpec.from_dict({"type": "lm_eval", "task": "arc_easy"}, "study, task 'arc'")
    with pytest.raises(ConfigurationError, match="give either one `file`"):
        TaskSpec.from_dict({"type": "multiple_choice", "items": 50}, "study, task 'arc'")


def test_a_task_that_is_named_is_the_harness_own(tmp_path, monkeypatch, scripted):
    import datasets

    def load(path, name, **_):
        assert (path, name) == ("allenai/ai2_arc", "ARC-Easy")
        documents = [
            {
                "question": f"Who is {word}?",
                "choices": {"text": ["an animal", word], "label": ["A", "B"]},
                "answerKey": key,
            }
            for word, key in (("fox", "A"), ("dog", "B"), ("boy", "B"))
        ]
        return datasets.DatasetDict(
            {"test": datasets.Dataset.from_list(documents)} | dict.fromkeys(("train", "validation"))
        )

    monkeypatch.setattr(datasets, "load_dataset", load)
    task = LmEval.open(tmp_path, task="arc_easy")
    model = scripted()
    assert task.score(model, task.items) == [0.0, 1.0, 1.0]  # it holds the shorter choice likelier
    assert model.asked[0] == ("Question: Who is fox?\nAnswer:", [" an animal", " fox"])
    assert task.rule["metric"] == "acc"


def test_data_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    import datasets

    def fail(path, **_):
        raise ConnectionError(f"cannot reach {path}")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(ConfigurationError, match=r"task arc_easy of lm_eval cannot be built: .*cannot reach allenai"):
        LmEval.open(tmp_path, task="arc_easy")


def test_it_is_listed_and_its_use_explained_without_the_harness(monkeypatch, tmp_path):
    import sys

    from heterosis.core.errors import PluginError

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    assert registry.load("tasks", "lm_eval") is LmEval
    with pytest.raises(PluginError, match=r'pip install "heterosis\[lm-eval\]"'):
        LmEval.open(tmp_path, task="arc_easy")


def metric(name, **changes):
    return [{"metric": name, "aggregation": "mean", "higher_is_better": True, **changes}]


@pytest.mark.parametrize(
    ("config", "options", "complaint"),
    [
        ({}, {"filters": "strict-match"}, "unknown key 'filters'. Did you mean 'filter'"),
        ({}, {"filter": "strict"}, "no filter 'strict'. Did you mean 'strict-match'"),
        ({}, {"metric": "exact"}, "no metric 'exact'. Did you mean 'exact_match'"),
        ({}, {"num_fewshot": -1}, "num_fewshot must be a whole number"),
        ({}, {"task": "sums"}, "either `task` .* or a file"),
        ({}, {"split": "tets"}, "no split 'tets'. Did you mean 'test'"),
        ({}, {"trust": "everything"}, "trust: unknown 'everything'"),
        ({"num_fewshot": 0}, {"num_fewshot": 2}, "allows no solved examples"),
        ({"unsafe_code": True}, {}, r"runs what the model wrote; .* `trust: \[unsafe_code\]`"),
        ({"dataset_kwargs": {"trust_remote_code": True}}, {}, r"brings code of its own; .* `trust: \[remote_code\]`"),
        ({"generation_kwargs": {"until": ["."], "do_sample": True, "temperature": 0.7}}, {}, "wants sampled text"),
        ({"generation_kwargs": {"until": ["."], "temperature": 0.7}}, {}, "wants sampled text"),
        ({"metric_list": metric("exact_match", higher_is_better=False)}, {"metric": "exact_match"}, "lower values"),
        ({"metric_list": metric("bleu", aggregation="bleu")}, {}, "no metric that is a mean over items; it has bleu"),
        ({"doc_to_text": "{{nothing.there}}"}, {}, "cannot be built"),
        ({"test_split": "gone"}, {}, "cannot be built: KeyError"),
        ({"task": None}, {}, "does not describe one task"),
        ({"group": "many"}, {}, "does not describe one task"),
    ],
)
def test_what_cannot_be_used_is_named(write_task, config, options, complaint):
    path = write_task(GSM8K, SUMS, **config)
    with pytest.raises(ConfigurationError, match=complaint):
        LmEval.open(path, **options)


def test_what_is_trusted_by_name_is_opened(write_task):
    path = write_task({**GSM8K, "unsafe_code": True}, SUMS)
    assert len(LmEval.open(path, trust=["unsafe_code"]).items) == len(SUMS)


@pytest.mark.parametrize(
    ("name", "aggregation"), [("f1", "f1"), ("mcc", "matthews_corrcoef"), ("likelihood", "likelihood")]
)
def test_a_figure_that_is_no_share_is_refused_by_name(open_task, choice, scripted, name, aggregation):
    config, questions = choice
    entries = [*config["metric_list"], *metric(name)]
    task = open_task({**config, "metric_list": entries}, questions, {"metric": name})
    with pytest.raises(ConfigurationError, match=rf"{name} is .*from 0 to 1\. Choose another `metric`: acc, "):
        task.score(scripted(), task.items)


def test_a_task_that_stumbles_over_an_answer_fails_the_candidate_alone(open_task, scripted):
    task = open_task(GSM8K, SUMS)

    def stumble(*_):
        raise ZeroDivisionError("odd answer")

    task._task.process_results = stumble
    with pytest.raises(EvaluationError, match=r"task sums of lm_eval could not score the answers.*odd answer"):
        task.score(scripted(), task.items)


def test_the_path_of_data_starts_at_the_task_file(write_task, monkeypatch, tmp_path_factory):
    path = write_task(GSM8K, SUMS)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert len(LmEval.open(path).items) == len(SUMS)
