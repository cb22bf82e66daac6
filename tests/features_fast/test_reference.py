"""The reference of all features is the one that the code makes."""

from pathlib import Path

from features_fast import FEATURES
from features_fast.reference import PAGE, main, page


def test_the_document_is_current() -> None:
    assert PAGE.read_text() == page(), "make it again: python -m features_fast.reference"


def test_every_feature_has_its_line() -> None:
    lines = [line for line in page().splitlines() if line.startswith("| ") and "| `" in line]
    for place, feature in enumerate(FEATURES):
        assert lines[place].startswith(f"| {place} | `{feature.name}` | {feature.formula} | {feature.lookback} |")


def test_the_command_writes_it(tmp_path: Path) -> None:
    main([str(tmp_path / "features.md")])
    assert (tmp_path / "features.md").read_text() == page()
