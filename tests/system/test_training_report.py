"""The training report in a real browser: in every view, by the rules of accessibility, asking for nothing else."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

import tickline
from tests.system.browser import Scheme
from tests.system.pictures import VIEWS

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an exported model."""
    folder = tmp_path_factory.mktemp("models")
    where = ["--model-path", str(folder)]
    bars = ["--source", "synthetic", "--days", "600"]
    assert tickline.main(["train", *bars, "--model", "logistic", "--walk-forward", "2", *where]) == 0
    assert tickline.main(["export", *where]) == 0
    return folder / "report" / "index.html"


@pytest.mark.parametrize(("name", "size", "scheme"), VIEWS)
def test_it_can_be_read_in_every_view(
    name: str, size: tuple[int, int], scheme: Scheme, report: Path, browser: Browser
) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    try:
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(report.as_uri())
        assert asked == [report.as_uri()]
        assert "was compared with scikit-learn" in page.inner_text("body")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        boxes = [box for svg in page.locator("svg").all() if (box := svg.bounding_box())]
        assert len(boxes) == 7
        assert all(box["width"] > 200 for box in boxes)
    finally:
        context.close()
