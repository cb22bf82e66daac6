import os
from pathlib import Path

import pytest

from features_fast.atomic_file import check_file, check_folder, write_atomically


def listing(directory: Path) -> dict[str, str]:
    """Return every file below a directory with its text."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with write_atomically(path) as staging:
        staging.write_text("whole")
        assert not path.exists()
    assert listing(tmp_path) == {"new/table.csv": "whole"}


def write_and_fail(staging: Path) -> None:
    """Write half of a file and fail."""
    staging.write_text("half")
    raise RuntimeError("killed")


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="killed"), write_atomically(path) as staging:
        write_and_fail(staging)
    assert listing(tmp_path) == {"table.csv": "old"}


@pytest.mark.parametrize("target", ["old.csv", "missing.csv", "folder/missing.csv"])
def test_a_link_stays_and_its_target_is_replaced_in_the_folder_of_that(tmp_path: Path, target: str) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "old.csv").write_text("old")
    before = os.open(tmp_path / "kept" / "old.csv", os.O_RDONLY)
    path, middle = tmp_path / "table.csv", tmp_path / "middle.csv"
    middle.symlink_to(Path("kept", target))
    path.symlink_to(middle)
    with write_atomically(path) as staging:
        assert staging.is_relative_to((tmp_path / "kept" / target).parent)
        staging.write_text("new")
    assert path.is_symlink()
    assert middle.is_symlink()
    assert path.read_text() == (tmp_path / "kept" / target).read_text() == "new"
    with os.fdopen(before) as old:  # who reads it still reads it whole
        assert old.read() == "old"
    assert len(listing(tmp_path)) == len({"table.csv", "middle.csv", "kept/old.csv", f"kept/{target}"})


def test_outputs_are_checked_and_all_is_left_as_it_was(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "models")
    check_file(tmp_path / "new" / "table.csv")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    for path in ("file", "link"):
        check_file(tmp_path / path)
    for check in (check_folder, check_file):
        with pytest.raises(NotADirectoryError) as caught:
            check(tmp_path / "file" / "models")
        assert caught.value.filename == str(tmp_path / "file" / "models")
    assert listing(tmp_path) == {"file": "old", "link": "old"}


def test_only_a_file_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, reason in (("pipe", "is no regular file"), ("folder", "Is a directory")):
        with pytest.raises(OSError, match=reason), write_atomically(tmp_path / name):
            pytest.fail("it is written to")
        with pytest.raises(OSError, match=reason) as caught:
            check_file(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]
