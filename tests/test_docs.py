"""The pages of docs/: all are listed, their links lead somewhere, their commands run, and what they quote is said."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tickline
from tests.serving import running_server

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
PACKAGES = ("features_fast", "training", "export", "runtime")


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_lists_every_page() -> None:
    listed = re.findall(r"\]\((\w[\w.-]*\.md)\)", (DOCS / "README.md").read_text())
    assert sorted(listed) == sorted(page.name for page in PAGES if page.name != "README.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_the_quick_start_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "quick-start.md").read_text(), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines()]
    assert [command.split()[1] for command in commands] == [
        *("data", "train", "export", "verify"),
        *("predict", "predict", "explain"),
    ]
    for command in commands:
        assert tickline.main(shlex.split(command)[1:]) == 0, command
    assert (tmp_path / "mine" / "report" / "index.html").exists()


def test_what_troubleshooting_quotes_is_said_somewhere() -> None:
    page = (DOCS / "troubleshooting.md").read_text().partition("## What it does")[0]
    quoted = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(quoted) >= 15
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    said = " ".join(path.read_text() for path in [*files, ROOT / "tickline.py"])
    for message in quoted:
        pattern = re.sub(r"\d+", r"(\\d+|\\{\\w+\\})", re.escape(message))
        assert re.search(pattern, said), message


def test_extending_names_files_and_names_that_exist() -> None:
    page = (DOCS / "extending.md").read_text()
    for path in re.findall(r"`((?:\w+/)+[\w.]*)`", page):
        assert (ROOT / path).exists(), path
    sources = " ".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    for name in ("CLASSIFIER_PARAMS", "_CLASSIFIERS", "MODEL_TYPES", "FEATURES", "feature_importance", "ROUTES"):
        assert f"`{name}`" in page
        assert re.search(rf"\b{name}\b", sources)


def test_the_example_goes_from_bars_to_a_served_prediction(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "examples" / "sp500.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^249 unseen days: \d+ right; always UP would be right on \d+$", done.stdout, re.MULTILINE)
    assert re.search(r"^after 2018-12-31: (UP|DOWN) with probability 0\.\d{3}\.", done.stdout, re.MULTILINE)


def test_the_client_of_triton_works(sp500_model: Callable[[str], Path]) -> None:
    with running_server(sp500_model("gradient_boosting")) as server:
        program = [sys.executable, str(DOCS / "examples" / "triton.py"), f"127.0.0.1:{server.port}"]
        done = subprocess.run([*program, "gradient_boosting"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"((UP|DOWN) \[0\.\d+ +0\.\d+\s*\]\n){4}", done.stdout)
        wrong = subprocess.run([*program, "nothing"], capture_output=True, text=True)
        assert wrong.returncode == 1
        assert "does not serve 'nothing'" in wrong.stderr
