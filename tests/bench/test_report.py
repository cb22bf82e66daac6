"""The documents that are made of results: they are what the results beside them say."""

from pathlib import Path

import pytest

from bench import report
from bench.report import BEGIN, END, README, between, documents


def test_documents_are_those_of_the_results() -> None:
    for path, text in documents():
        assert path.read_text() == text, f"{path.name} differs from bench/results: run `tickline bench report`"


def test_what_differs_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "docs"
    pages = [(folder / "old.md", "new\n"), (folder / "new.md", "new\n"), (folder / "same.md", "same\n")]
    folder.mkdir()
    (folder / "old.md").write_text("old\n")
    (folder / "same.md").write_text("same\n")
    monkeypatch.setattr(report, "documents", lambda: iter(pages))
    assert report.write() == [folder / "old.md", folder / "new.md"]
    assert [path.read_text() for path, _ in pages] == ["new\n", "new\n", "same\n"]
    assert report.write() == []


def test_a_table_takes_the_place_of_the_one_before() -> None:
    assert between(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    assert README.read_text().count(BEGIN) == README.read_text().count(END) == 1
