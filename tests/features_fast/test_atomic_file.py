import os
from pathlib import Path

import pytest

from features_fast.atomic_file import write_atomically


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
