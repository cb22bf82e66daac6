"""The pages of docs/: all are listed, their links lead somewhere, their commands run, and what they quote is said."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tickline
from runtime import command_line
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
    for source in re.findall(r'\b(?:src|srcset)="([^"]+)"', page.read_text()):
        assert (page.parent / source).exists(), source


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_every_command_means_something(page: Path) -> None:
    text = page.read_text()
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.DOTALL))
    for command in re.findall(r"^\s*(?:\.venv/bin/)?tickline ((?!completion).*?)(?: +# .*)?$", blocks, re.MULTILINE):
        for part in command.split(" && tickline "):
            assert command_line.parse(shlex.split(part)).run
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {found for found in re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^make ([a-z-]+)", blocks)} <= targets
    for module in re.findall(r"python -m ([a-z_.]+)", text):
        assert importlib.util.find_spec(module), module


def test_the_quick_start_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODEL_PATH", raising=False)
    blocks = re.findall(r"```bash\n(.*?)```", (DOCS / "quick-start.md").read_text(), re.DOTALL)
    asked, *commands = [line for block in blocks for line in block.splitlines()]
    assert [command.split()[1] for command in commands] == [
        *("data", "train", "export", "verify"),
        *("predict", "predict", "explain"),
    ]
    for command in commands:
        assert tickline.main(shlex.split(command)[1:]) == 0, command
    assert (tmp_path / "mine" / "report" / "index.html").exists()
    with running_server(tmp_path / "mine") as server:
        asked = asked.replace("localhost:5000", f"127.0.0.1:{server.port}")
        answered = subprocess.run([*shlex.split(asked), "--fail-with-body"], check=True, capture_output=True).stdout
        (by_url,) = re.findall(r"^tickline predict .*--url.*$", (DOCS / "quick-start.md").read_text(), re.MULTILINE)
        by_url = by_url.replace("localhost:5000", f"127.0.0.1:{server.port}")
        replies = [answered]
        for command in (by_url, commands[4]):
            capsys.readouterr()
            assert tickline.main([*shlex.split(command)[1:], "--json"]) == 0
            replies.append(capsys.readouterr().out.encode())
    probability, bar = (
        {json.dumps(json.loads(reply)[member]) for reply in replies} for member in ("probability", "bar")
    )
    assert len(probability) == len(bar) == 1


def test_what_troubleshooting_quotes_is_said_somewhere() -> None:
    page = (DOCS / "troubleshooting.md").read_text().partition("## What it does")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", page, re.MULTILINE)
    quoted = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
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


def test_a_type_of_model_is_added_by_the_steps_of_the_page(tmp_path: Path) -> None:
    kept = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=kept)
    shutil.copy(ROOT / "tickline.py", tmp_path)
    steps = {
        "training/defaults.py": ('    "logistic": {', '    "extra_trees": {"n_estimators": 20, "max_depth": 5},\n'),
        "training/predictor.py": (
            '    "logistic": L',
            '    "extra_trees": __import__("sklearn.ensemble").ensemble.ExtraTreesClassifier,\n',
        ),
    }
    for name, (before, added) in steps.items():
        assert f"`{name}`" in (DOCS / "extending.md").read_text()
        source = (tmp_path / name).read_text()
        assert source.count(before) == 1
        (tmp_path / name).write_text(source.replace(before, added + before))

    train = ["train", "--source", "synthetic", "--days", "600", "--model", "extra_trees"]
    program = f"import tickline\nfor command in ({train}, ['export'], ['verify']): assert not tickline.main(command)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "extra_trees 1.0.0" in done.stdout
    assert "compiled 1, proven" in done.stdout


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
