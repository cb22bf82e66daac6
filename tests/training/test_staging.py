import errno
import os
import threading
from pathlib import Path

import pytest

from features_fast.atomic_file import check_folder
from training.staging import METADATA_FILE, holding_directory, publish_directory


def listing(directory: Path) -> dict[str, str]:
    """Return every file below a directory with its text."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def write_and_fail(staging: Path) -> None:
    """Write half of a file and fail."""
    staging.write_text("half")
    raise RuntimeError("killed")


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


def test_runs_that_end_together_do_not_mix_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, replace, wait = tmp_path / "models", os.replace, 0.05
    threads: list[threading.Thread] = []

    def publish(name: str) -> None:
        with publish_directory(target) as staging:
            for file in ("a", "b", METADATA_FILE):
                (staging / file).write_text(name)

    def replace_while_another_publishes(source: Path, destination: Path) -> None:
        replace(source, destination)
        if not threads:  # after the first file of the first run
            threads.append(threading.Thread(target=publish, args=("second",)))
            threads[0].start()
            threads[0].join(wait)
            assert threads[0].is_alive()  # it must not end before the first one has

    monkeypatch.setattr(os, "replace", replace_while_another_publishes)
    publish("first")
    threads[0].join()
    assert listing(target) == {"a": "second", "b": "second", METADATA_FILE: "second"}


def test_nothing_is_published_while_a_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / METADATA_FILE).write_text("old")

    def publish() -> None:
        with publish_directory(tmp_path) as staging:
            (staging / METADATA_FILE).write_text("new")

    thread = threading.Thread(target=publish)
    with holding_directory(tmp_path), holding_directory(tmp_path):
        thread.start()
        thread.join(0.05)
        assert (tmp_path / METADATA_FILE).read_text() == "old"
    thread.join()
    assert (tmp_path / METADATA_FILE).read_text() == "new"


def test_runs_check_and_make_one_new_directory_together(tmp_path: Path) -> None:
    target, faults = tmp_path / "new" / "models", []

    def run(name: str) -> None:
        try:
            for _ in range(200):
                check_folder(target)
            with publish_directory(target) as staging:
                (staging / name).write_text("x")
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert listing(target) == {"a": "x", "b": "x", "c": "x"}
