"""Response matrices in files: matched by item id, never by position; what cannot be told is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.fitness.item_parameters import ItemParameters
from heterosis.fitness.response_matrix import ResponseMatrix
from hypothesis import given
from hypothesis import strategies as st

NAN = float("nan")
SMALL = ResponseMatrix(("one", "two"), ("x", "y", "z"), np.array([[1.0, 0.0, NAN], [0.25, 1.0, 1 / 3]]))


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["npz", "csv", "parquet"])
def test_what_is_written_is_read_back_exactly(tmp_path: Path, ending: str) -> None:
    SMALL.write(tmp_path / f"matrix.{ending}")
    found = ResponseMatrix.read(tmp_path / f"matrix.{ending}")
    assert (found.models, found.items) == (SMALL.models, SMALL.items)
    np.testing.assert_array_equal(found.values, SMALL.values)


@given(st.permutations(["x", "y", "z"]), st.integers(1, 3))
def test_columns_follow_the_ids_in_any_order(order: list[str], count: int) -> None:
    found = SMALL.aligned(order[:count])
    assert found.items == tuple(order[:count])
    for column, item in enumerate(found.items):
        np.testing.assert_array_equal(found.values[:, column], SMALL.values[:, "xyz".index(item)])


def test_a_shuffled_file_gives_the_same_references(tmp_path: Path) -> None:
    """Answers matched to items by position: here the order of columns changes nothing."""
    file = written(tmp_path, "a.csv", "model,x,y\none,1,0\n")
    other = written(tmp_path, "b.csv", "model,y,extra,x\none,0,1,1\n")
    first, second = (ResponseMatrix.read(path).aligned(["x", "y"]).values for path in (file, other))
    np.testing.assert_array_equal(first, second)


def test_an_item_without_responses_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"1 of the task's 2 items, such as 'w'"):
        SMALL.aligned(["x", "w"])
    with pytest.raises(ConfigurationError, match=r"'x' of the task is there more than once"):
        SMALL.aligned(["x", "x"])


def test_one_response_a_row(tmp_path: Path) -> None:
    file = written(tmp_path, "long.csv", "item,score,model\nx,1,one\ny,0.5,two\ny,,one\n")
    found = ResponseMatrix.read(file)
    assert (found.models, found.items) == (("one", "two"), ("x", "y"))
    np.testing.assert_array_equal(found.values, [[1, NAN], [NAN, 0.5]])


def test_lines_of_py_irt(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        "responses.jsonlines",
        '{"subject_id": "one", "responses": {"x": 1, "y": 0}}\n\n'
        '{"subject_id": "two", "responses": {"z": 1, "x": 0}}\n',
    )
    found = ResponseMatrix.read(file)
    assert (found.models, found.items) == (("one", "two"), ("x", "y", "z"))
    np.testing.assert_array_equal(found.values, [[1, 0, NAN], [0, NAN, 1]])


def test_a_pandas_frame_with_models_as_index(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    described = json.dumps({"index_columns": ["__index_level_0__"], "columns": []})
    table = pyarrow.table({"x": [1, 0], "__index_level_0__": ["one", "two"]})
    parquet.write_table(table.replace_schema_metadata({"pandas": described}), tmp_path / "frame.parquet")
    found = ResponseMatrix.read(tmp_path / "frame.parquet")
    assert (found.models, found.items) == (("one", "two"), ("x",))


def test_without_pyarrow_a_parquet_file_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigurationError, match=r"heterosis\[tables\]"):
        SMALL.write(tmp_path / "matrix.parquet")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "model,x,x\none,1,0\n", "item 'x' is there more than once"),
        ("a.csv", "model,x\none,1\none,0\n", "model 'one' is there more than once"),
        ("a.csv", "model,x\none,2\n", "'one' to 'x' is 2"),
        ("a.csv", "model,x\none,-0.1\n", "between 0 and 1"),
        ("a.csv", "model,x\none,inf\n", "between 0 and 1"),
        ("a.csv", "model,x\none,yes\n", "'one' to 'x' is 'yes'"),
        ("a.csv", "model,x,\none,1,0\n", "never by position"),
        ("a.csv", "model,x,y\none,1\n", "row 2 has 2 cells"),
        ("a.csv", "", "header"),
        ("a.csv", "model,item,score\none,x,1\none,x,0\n", "'one' to 'x' is there more than once"),
        ("a.csv", "model,item,score\none,x,7\n", "'one' to 'x' is 7"),
        ("a.jsonl", '{"subject_id": "one", "responses": [1, 0]}\n', "line 1"),
        ("a.jsonl", '{"responses": {"x": 1}}\n', "line 1"),
        ("a.jsonl", '{"subject_id": "one", "responses": {"x": 1, "x": 0}}\n', "'x' is there more than once"),
        ("a.jsonl", "{", "cannot be read"),
        ("a.npz", "no archive", "cannot be read"),
        ("a.txt", "", "unknown ending"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = written(tmp_path, name, text)
    with pytest.raises(ConfigurationError, match=message) as error:
        ResponseMatrix.read(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.csv"):
        ResponseMatrix.read(tmp_path / "none.csv")


def test_an_archive_without_item_ids_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", Y=np.zeros((1, 2), np.int8), models=np.array(["one"]))
    with pytest.raises(ConfigurationError, match=r"no array `items`.*columns of `Y`.*never by position"):
        ResponseMatrix.read(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", models=np.array(["one"]))
    with pytest.raises(ConfigurationError, match=r"no array `values`"):
        ResponseMatrix.read(tmp_path / "b.npz")


def test_objects_in_an_archive_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", values=np.zeros((1, 1)), models=np.array(["one"], object), items=np.array(["x"]))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ResponseMatrix.read(tmp_path / "a.npz")


def test_difficulties_and_intercepts_say_the_same(tmp_path: Path) -> None:
    easy = written(tmp_path, "d.csv", "item,a,d\nx,2,1\ny,0.5,-1\n")
    hard = written(tmp_path, "b.json", '[{"item": "x", "a": 2, "b": -0.5}, {"item": "y", "a": 0.5, "b": 2}]')
    first, second = (ResponseMatrix.read(path, simulated=40, seed=3) for path in (easy, hard))
    assert first.items == ("x", "y")
    assert len(set(first.models)) == 40
    np.testing.assert_array_equal(first.values, second.values)
    assert not np.array_equal(first.values, ResponseMatrix.read(easy, simulated=40, seed=4).values)


def test_simulated_models_answer_as_the_parameters_say() -> None:
    columns: dict[str, list[object]] = {"item": ["x", "y"], "a1": [0, 2.0], "a2": [0, 0], "d": [1.0, 0]}
    found = ItemParameters.from_columns(columns).simulate(4000, seed=0).values.mean(axis=0)
    assert found == pytest.approx([1 / (1 + np.exp(-1)), 0.5], abs=0.03)


def test_difficulties_of_several_dimensions() -> None:
    columns: dict[str, list[object]] = {"item": ["x"], "a1": [2.0], "a2": [1.0], "b1": [1.0], "b2": [-3.0]}
    assert ItemParameters.from_columns(columns).intercepts == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"item": ["x"], "a1": [1], "a2": [1], "b": [1]}, "programs differ"),
        ({"item": ["x"], "a": [1]}, "either d or b, not nothing"),
        ({"item": ["x"], "a": [1], "b": [1], "d": [1]}, "either d or b, not b, d"),
        ({"item": ["x"], "a": ["high"], "d": [1]}, "a of the item 'x' is 'high'"),
        ({"a": [1], "d": [1]}, "no item parameters"),
    ],
)
def test_parameters_that_could_mean_two_things_are_refused(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        ItemParameters.from_columns(columns)


def test_an_item_twice_among_the_parameters(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="'x' is there more than once"):
        ResponseMatrix.read(written(tmp_path, "d.csv", "item,a,d\nx,2,1\nx,0.5,-1\n"))
