import errno
import os
from pathlib import Path

import pytest

from training.staging import METADATA_FILE, check_directory, publish_directory, write_atomically


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


def test_directory_receives_all_files_and_keeps_others(tmp_path: Path) -> None:
    target = tmp_path / "models"
    target.mkdir()
    (target / "model.onnx").write_text("exported")
    (target / METADATA_FILE).write_text("old")
    with publish_directory(target) as staging:
        (staging / "report").mkdir()
        (staging / "report" / "roc.png").write_text("curve")
        (staging / METADATA_FILE).write_text("new")
    assert listing(tmp_path) == {
        "models/model.onnx": "exported",
        "models/metadata.json": "new",
        "models/report/roc.png": "curve",
    }


def test_failed_block_leaves_the_old_directory(tmp_path: Path) -> None:
    target = tmp_path / "models"
    with publish_directory(target) as staging:
        (staging / METADATA_FILE).write_text("old")
    with pytest.raises(RuntimeError, match="killed"), publish_directory(target) as staging:
        write_and_fail(staging / METADATA_FILE)
    assert listing(tmp_path) == {"models/metadata.json": "old"}


def test_interrupted_publication_has_no_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "models"
    target.mkdir()
    (target / METADATA_FILE).write_text("old")
    replace = os.replace

    def fail_after_the_first(source: Path, destination: Path) -> None:
        if destination.name != "a":
            raise OSError("disk full")
        replace(source, destination)

    def publish() -> None:
        with publish_directory(target) as staging:
            for name in (METADATA_FILE, "a", "z"):
                (staging / name).write_text("new")

    monkeypatch.setattr(os, "replace", fail_after_the_first)
    with pytest.raises(OSError, match="disk full"):
        publish()
    assert listing(tmp_path) == {"models/a": "new"}


def test_a_directory_may_be_a_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mounting takes rights that tests need not have: what the kernel says of a move from outside is said here."""
    target = tmp_path / "models"
    target.mkdir()
    replace = os.replace

    def refuse_from_outside(source: Path, destination: Path) -> None:
        if target not in source.parents:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, destination)

    monkeypatch.setattr(os, "replace", refuse_from_outside)
    with publish_directory(target) as staging:
        (staging / METADATA_FILE).write_text("new")
    assert listing(tmp_path) == {"models/metadata.json": "new"}


def test_a_failed_block_leaves_no_new_directory(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="killed"), publish_directory(tmp_path / "models") as staging:
        write_and_fail(staging / METADATA_FILE)
    assert not list(tmp_path.iterdir())


def test_a_directory_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    check_directory(tmp_path / "new" / "models")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_directory(tmp_path / "file" / "models")
    assert listing(tmp_path) == {"file": ""}
