"""Pictures: those of the pages can be taken again, and those of the documentation fit the reader's theme."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.serving import RunningServer
from tests.system.pictures import VIEWS, take, take_for_documentation

pytestmark = pytest.mark.system

DOCS = Path(__file__).parents[2] / "docs"


def test_pictures_are_taken_by_a_command(browser: Browser, server: RunningServer, tmp_path: Path) -> None:
    taken = take(browser, server.port, tmp_path, VIEWS[:1])
    assert len(taken) == 8
    assert all(path.stat().st_size > 10_000 for path in taken)


@pytest.mark.parametrize("picture", sorted(DOCS.rglob("*.svg")), ids=lambda path: path.name)
def test_pictures_of_the_documentation_follow_the_theme(browser: Browser, picture: Path) -> None:
    found = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        page = context.new_page()
        page.goto(picture.as_uri())
        found[scheme] = page.evaluate("() => getComputedStyle(document.querySelector('text')).fill")
        context.close()
    light, dark = (sum(map(int, re.findall(r"\d+", found[scheme]))) for scheme in ("light", "dark"))
    assert light < 3 * 80
    assert dark > 3 * 160


def test_the_pictures_of_the_quick_start_can_be_taken_again(
    browser: Browser, server: RunningServer, tmp_path: Path
) -> None:
    taken = take_for_documentation(browser, server.port, tmp_path)
    assert {path.name for path in taken} == {path.name for path in DOCS.rglob("*.png")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in taken)
