"""A download is whole and right, or not there; what broke off is completed."""

import hashlib

import pytest
from heterosis.core.errors import CheckpointError
from heterosis.plugins.providers.download import download

CONTENT = bytes(range(256)) * 20_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def target(web, tmp_path):
    web.files["/weights"] = CONTENT
    return tmp_path / "cache" / "weights"


def test_a_file_is_fetched_and_its_progress_told(web, target, heard):
    download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == ["weights"]
    assert heard[-1] == ("fetching weights", len(CONTENT), len(CONTENT))
    assert [done for _, done, _ in heard] == sorted(done for _, done, _ in heard)


def test_what_broke_off_is_completed_and_not_fetched_again(web, target, heard):
    web.break_after = 1_234_567
    with pytest.raises(CheckpointError, match=r"weights cannot be fetched .*run it again to go on"):
        download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert not target.exists()
    have = target.with_name("weights.part").stat().st_size
    assert have == 1_234_567
    web.sent = 0
    download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert web.asked[-1] == ("/weights", f"bytes={have}-")
    assert web.sent == len(CONTENT) - have
    assert target.read_bytes() == CONTENT
    assert heard[-1] == ("fetching weights", len(CONTENT), len(CONTENT))


def test_a_server_that_cannot_begin_in_the_middle_begins_again(web, target, heard):
    web.ranges = False
    target.parent.mkdir()
    target.with_name("weights.part").write_bytes(CONTENT[:1000])
    download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_whole_already_is_only_checked(web, target, heard):
    target.parent.mkdir()
    target.with_name("weights.part").write_bytes(CONTENT)
    download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert web.sent == 0
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [b"", b"something else", CONTENT + b"more"])
def test_what_has_another_hash_is_removed_so_that_the_next_try_is_clean(kept, web, target, heard):
    target.parent.mkdir()
    target.with_name("weights.part").write_bytes(kept)
    wrong = SHA256 if kept else "0" * 64
    with pytest.raises(CheckpointError, match=f"expected was {wrong}; it was removed"):
        download(f"{web.url}/weights", wrong, target, heard.tell)
    assert list(target.parent.iterdir()) == []
    download(f"{web.url}/weights", SHA256, target, heard.tell)
    assert target.read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_named_without_the_password(web, target, heard):
    url = f"{web.url}/nowhere".replace("//", "//me:topsecret@")
    with pytest.raises(CheckpointError, match=r"nowhere cannot be fetched .HTTP status 404 Not Found") as caught:
        download(url, SHA256, target, heard.tell)
    assert "topsecret" not in str(caught.value)


def test_a_server_that_is_down_is_told(web, target, heard):
    web.stop()
    with pytest.raises(CheckpointError, match=r"cannot be fetched .*refused"):
        download(f"{web.url}/weights", SHA256, target, heard.tell)


def test_a_folder_that_cannot_be_written_is_told(web, tmp_path, heard):
    web.files["/weights"] = CONTENT
    (tmp_path / "weights.part").mkdir()
    with pytest.raises(CheckpointError, match=r"weights\.part cannot be written"):
        download(f"{web.url}/weights", SHA256, tmp_path / "weights", heard.tell)
