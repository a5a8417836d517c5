"""`heterosis run` and `resume`: what they leave, say, and refuse."""

import json
import struct

import pytest
from heterosis.search.loop import SearchLoop
from heterosis.search.study import Study
from transformers import AutoModelForCausalLM


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def test_a_run_leaves_a_model_that_loads_and_figures(finished):
    folder, _ = finished
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny" / "merged")
    assert model.config.num_hidden_layers == 3
    for name in ("history.png", "front.png"):
        width, height = png_size(folder / "tiny" / name)
        assert 800 <= width <= 2000
        assert 500 <= height <= 1500


def test_it_says_what_it_does_and_what_came_of_it(finished):
    _, printed = finished
    for words in (
        "task_arithmetic, one group: 2 genes",
        "search 6 of 6",
        "uniform average",
        "held (held out)",
        "The winner",
        "tiny/merged",
        'pipeline("text-generation", model="tiny/merged")',
    ):
        assert words in printed


def test_without_a_terminal_it_prints_plain_and_few_lines(finished):
    _, printed = finished
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert all(line == line.rstrip() for line in printed.splitlines())
    assert len([line for line in printed.splitlines() if line.startswith("search ")]) <= 6


@pytest.mark.parametrize(
    ("told", "option", "steady"),
    [(True, (), True), (None, ("--steady-state",), True), (True, ("--generations",), False), (None, (), False)],
)
def test_file_and_option_say_whether_the_optimizer_is_fed_as_results_arrive(
    told, option, steady, tmp_path, write_study, heterosis
):
    folder = write_study(tmp_path, steady_state=told, candidates=3)
    heterosis(folder, "run", "study.yaml", "--no-export", *option)
    with Study.load("tiny", folder / "heterosis.db").store as store:
        [record] = store.studies.all()
        assert [ask.tell_no for ask in store.asks.all(record.id)] == ([0, 1, 2] if steady else [None])
    heterosis(folder, "resume", "tiny", "--candidates", 4, "--no-export")
    with Study.load("tiny", folder / "heterosis.db").store as store:
        assert [ask.tell_no for ask in store.asks.all(record.id)] == ([0, 1, 2, 3] if steady else [None, None])


def test_a_second_run_of_the_same_name_tells_how_to_go_on(finished, heterosis):
    folder, _ = finished
    refused = heterosis(folder, "run", "study.yaml", "--out", "elsewhere", code=1)
    assert "heterosis resume tiny" in refused.stderr
    assert "--name" in refused.stderr
    assert not (folder / "elsewhere").exists()


def test_a_model_folder_in_use_is_refused_before_anything_is_recorded(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path)
    (folder / "results" / "merged").mkdir(parents=True)
    (folder / "results" / "merged" / "notes.txt").write_text("mine")
    refused = heterosis(folder, "run", "study.yaml", "--out", "results", code=1)
    assert "--no-export" in refused.stderr
    assert not (folder / "heterosis.db").exists()


def test_options_override_the_file_and_json_is_the_report(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path)
    options = ("--name", "other", "--seed", 9, "--candidates", 2, "--out", "o", "--no-export", "--json")
    report = json.loads(heterosis(folder, "run", "study.yaml", *options).stdout)
    assert report["study"] == "other"
    assert [row["name"] for row in report["report"]["rows"]] == ["base", "one", "two", "uniform average", "winner"]
    assert report["report"]["held_out"] == ["held"]
    assert isinstance(report["report"]["clear_of_references"], bool)
    assert report["outputs"]["merged"] is None
    study = Study.load("other", folder / "heterosis.db")
    assert (study.spec.seed, len(study.candidates)) == (9, 2)
    study.close()


def test_resume_searches_further_and_a_finished_study_is_only_reported(tmp_path, write_study, heterosis):
    folder = write_study(tmp_path, candidates=2, tasks={"words": {"search": "search.jsonl"}})
    heterosis(folder, "run", "study.yaml")
    before = (folder / "tiny" / "merged" / "model.safetensors").stat().st_mtime_ns
    assert "no test items" in heterosis(folder, "resume").stdout
    assert (folder / "tiny" / "merged" / "model.safetensors").stat().st_mtime_ns == before
    assert "--out" in heterosis(folder, "resume", "--candidates", 4, code=1).stderr
    further = heterosis(folder, "resume", "--candidates", 4, "--out", "more").stdout
    assert "search 4 of 4" in further
    assert (folder / "more" / "merged" / "config.json").exists()


@pytest.mark.parametrize(("name", "folder"), [("a b/c", "a-b-c"), ("..", "study"), ("math-it_2.1", "math-it_2.1")])
def test_the_folder_is_named_like_the_study_and_stays_here(name, folder):
    from heterosis.service.outputs import Outputs

    assert str(Outputs.of(name, None, True).folder) == folder


def test_a_raised_budget_is_what_status_counts_up_to(tmp_path, write_study, heterosis, monkeypatch):
    folder = write_study(tmp_path, candidates=2)
    heterosis(folder, "run", "study.yaml", "--no-export")

    def interrupted(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SearchLoop, "run", interrupted)
        said = heterosis(folder, "resume", "--candidates", "5", "--no-export", code=130).stderr
    assert "Interrupted after 2 of 5 candidates" in said
    assert json.loads(heterosis(folder, "status", "--json").stdout)["whole"] == 5
    assert said.splitlines()[-1].strip() == "heterosis resume tiny --no-export", "the budget need not be said again"
    heterosis(folder, "resume", "--no-export")
    assert json.loads(heterosis(folder, "status", "--json").stdout)["done"] == 5
