"""saving: a file is tried without a trace, and is whole or untouched."""

import os
import threading

import pytest

from tickstorm.bench.saving import check_writable, save


def content(folder):
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_trying_changes_nothing(tmp_path):
    (tmp_path / "old").write_text("before")
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    assert content(tmp_path) == {"old": "before"}


@pytest.mark.parametrize(
    ("name", "error"), [("none/file", FileNotFoundError), ("", IsADirectoryError)]
)
def test_what_can_not_be_written(tmp_path, name, error):
    with pytest.raises(error) as raised:
        check_writable(tmp_path / name)
    assert raised.value.strerror in {"No such file or directory", "Is a directory"}
    assert content(tmp_path) == {}


def test_a_file_is_written_anew_with_the_permissions_it_had(tmp_path):
    (tmp_path / "old").write_text("before, and longer")
    (tmp_path / "old").chmod(0o640)
    save(tmp_path / "old", "after")
    assert content(tmp_path) == {"old": "after"}
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o640


def test_a_new_file_can_be_read_by_whom_the_umask_allows(tmp_path):
    mask = os.umask(0o027)
    try:
        save(tmp_path / "new", "text")
    finally:
        os.umask(mask)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_link_stays_one(tmp_path):
    (tmp_path / "target").write_text("before")
    (tmp_path / "link").symlink_to("target")
    save(tmp_path / "link", "after")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path) == {"target": "after", "link": "after"}


def test_what_can_not_be_written_whole_leaves_the_old_one(tmp_path):
    (tmp_path / "old").write_text("before")
    with pytest.raises(UnicodeEncodeError):
        save(tmp_path / "old", "half \ud800")
    assert content(tmp_path) == {"old": "before"}


def test_a_pipe_is_written_to(tmp_path):
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    check_writable(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    save(pipe, "text")
    reader.join(10)
    assert found == ["text"]
