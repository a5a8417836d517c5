import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.plugins.tasks.jsonl import read_items


def _read(path):
    return read_items(path, ("text",), lambda content, where: {"text": content["text"]})


def test_items_come_in_the_order_of_the_file_with_their_ids(write):
    items = _read(write({"id": "b", "text": "uno"}, "", {"text": "due", "id": 7}))
    assert [(item.id, item.data) for item in items] == [("b", {"text": "uno"}), ("7", {"text": "due"})]


def test_a_missing_id_is_a_hash_of_the_content_wherever_it_stands(write):
    first, second = _read(write({"text": "uno"}, {"text": "due"}))
    assert [item.id for item in _read(write({"text": "due"}, {"text": "uno"}))] == [second.id, first.id]
    assert first.id != second.id


def test_an_optional_field_may_be_there_or_not(write):
    path = write({"text": "uno", "answer": "one"}, {"text": "due"})
    items = read_items(path, ("text",), lambda content, where: {**content}, optional=("answer",))
    assert [item.data.get("answer") for item in items] == ["one", None]


def test_text_is_utf8_with_or_without_a_byte_order_mark_and_either_line_end(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_bytes('\ufeff{"text": "perché\u2028no"}\r\n{"text": "è"}\r\n'.encode())
    assert [item.data["text"] for item in _read(path)] == ["perché\u2028no", "è"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"text": "a"', "not JSON"),
        ('["a"]', "must be a JSON object"),
        ("{}", "`text` is missing"),
        ('{"text": "a", "txet": 1}', "unknown key 'txet'. Did you mean 'text'"),
        ('{"text": "a", "text": "b"}', "key is given twice"),
        ('{"text": "a", "id": true}', "`id` must be text or a whole number"),
        ('{"text": "a", "id": ""}', "`id` must be text or a whole number"),
        ('{"text": "a", "id": 1.5}', "`id` must be text or a whole number"),
        ('{"text": "a", "id": "first"}', "the id 'first' is that of line 1"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(write, line, complaint):
    with pytest.raises(ConfigurationError, match=f"task.jsonl, line 3.*{complaint}"):
        _read(write({"id": "first", "text": "x"}, "", line))


def test_the_same_item_twice_without_ids_is_refused(write):
    with pytest.raises(ConfigurationError, match=r"line 2.*no `id` to tell it apart.*line 1"):
        _read(write({"text": "x"}, {"text": "x"}))


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
def test_an_empty_file_is_an_empty_task(write, content):
    with pytest.raises(ConfigurationError, match="empty task"):
        _read(write(content))


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path):
    for path in (tmp_path / "gone.jsonl", tmp_path):
        with pytest.raises(ConfigurationError, match=f"{path.name} cannot be read"):
            _read(path)


def test_a_file_that_is_no_utf8_is_named_with_the_line(tmp_path):
    path = tmp_path / "latin.jsonl"
    path.write_bytes('{"text": "a"}\n{"text": "è"}'.encode("latin-1"))
    with pytest.raises(ConfigurationError, match="line 2: not UTF-8"):
        _read(path)
