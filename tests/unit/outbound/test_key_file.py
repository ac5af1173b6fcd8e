from __future__ import annotations

from pathlib import Path

import pytest

from app.outbound.key_file import KeyFile


def test_a_file_counts_as_changed_until_it_is_read_and_after_each_rewrite(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("sk-1\n")
    file = KeyFile(path)
    assert file.changed()
    assert file.read() == "sk-1"
    assert not file.changed()
    path.write_text("sk-22\n")
    assert file.changed()
    assert file.read() == "sk-22"


def test_a_file_that_was_replaced_by_one_of_the_same_size_has_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "key", tmp_path / "other"
    path.write_text("sk-1")
    file = KeyFile(path)
    file.read()
    other.write_text("sk-2")
    other.replace(path)
    assert file.changed()


def test_a_missing_file_is_an_error_for_the_caller_to_judge(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    with pytest.raises(FileNotFoundError):
        file.changed()
    with pytest.raises(FileNotFoundError):
        file.read()
