"""Figures of a candidate's engine come back from the process that evaluated it, and are recorded with it."""

import json

import heterosis as ht
import pytest
from heterosis.core.estimate import Estimate
from heterosis.core.study_spec import StudySpec
from heterosis.storage import ItemSet, Responses
from heterosis.workers.outcome import Outcome, from_json, to_json

RUN = {"format": "gguf", "bytes": 1000, "prefill_ms": 80.5, "decode_speed": 30.5, "memory": 4000, "decode_error": 0.5}


def test_an_outcome_travels_whole():
    answers = (Responses("words", ItemSet("a" * 64, ("q0", "q1")), (1.0, 0.0)),)
    measured = {"decode_speed": Estimate(30.5, 0.5, 5)}
    for engine in (RUN, None):
        sent = Outcome(answers, measured, {"engine": 2.5}, 10, engine)
        assert from_json(json.loads(json.dumps(to_json(sent)))) == sent


@pytest.mark.slow
def test_a_worker_process_runs_candidates_and_records_what_it_measured(
    tmp_path, checkpoints, choice_items, write_lines
):
    write_lines(tmp_path / "words.jsonl", choice_items(6))
    content = {
        "study": "fast",
        "candidates": 1,
        "space": {
            "base": str(checkpoints / "base"),
            "sources": [str(checkpoints / name) for name in ("one", "two")],
            "merge": {"method": "linear", "weight": [0.0, 1.0]},
            "quantize": {"levels": ["int4-g16", "int8-g16"], "target": "compressed-tensors"},
        },
        "tasks": {"words": {"search": "words.jsonl"}},
        "objectives": [{"maximize": "accuracy"}, {"maximize": "decode_speed"}, {"minimize": "prefill_time"}],
        "optimizer": "random",
    }
    study = ht.Study.create(StudySpec.from_dict(content, tmp_path), tmp_path / "a.db")
    try:
        study.optimize(1, workers="processes", devices="cpu")
        (candidate,) = study.candidates
        assert candidate.engine is not None, candidate.record.failure
        assert candidate.engine["format"] == "compressed-tensors"
        assert candidate.engine["memory"] > 0
        measured = candidate.measurements["search"]
        assert measured["decode_speed"].mean == candidate.engine["decode_speed"] > 0
        assert measured["prefill_time"].mean == candidate.engine["prefill_ms"] > 0
        assert measured["prefill_time"].standard_error == candidate.engine["prefill_error"] > 0
    finally:
        study.close()
