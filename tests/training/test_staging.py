import os
from pathlib import Path

import pytest

from training.staging import METADATA_FILE, publish_directory, write_atomically


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
