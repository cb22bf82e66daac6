"""Pictures of the pages, to be looked at: ``python -m tests.system.pictures MODEL FOLDER``.

With ``--documentation`` those that docs/quick-start.md shows, for docs/pictures.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from tests.serving import running_server
from tests.system.browser import DESKTOP, PHONE, Scheme, Visit, running_browser, visit

View = tuple[str, tuple[int, int], Scheme]
"""A name, the size of the window, and the colours that the reader prefers."""

VIEWS: tuple[View, ...] = (
    ("light", DESKTOP, "light"),
    ("dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
    ("phone-dark", PHONE, "dark"),
)

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WARM = 20

SEND_SOME = """async (count) => {
  for (let index = 0; index < count; index++) {
    const row = Array.from({ length: 22 }, (_, column) => Math.sin(index * column));
    const headers = { 'Content-Type': 'application/json' };
    await fetch('predict', { method: 'POST', headers, body: JSON.stringify({ features: row }) });
  }
}"""


def show_figures(visited: Visit, periods: int = 12) -> None:
    """Send predictions from the page, now more and now fewer, while its clock runs on."""
    visited.begin_to_watch()
    for period in range(periods):
        visited.page.evaluate(SEND_SOME, 10 + 7 * period % 16)
        visited.watch_on()


def take(browser: Browser, port: int, folder: Path, views: Sequence[View] = VIEWS) -> list[Path]:
    """Write pictures of both pages in every view; return their paths."""
    taken = []
    for name, size, scheme in views:
        with visit(browser, port, size=size, scheme=scheme, reduced_motion="reduce") as visited:
            page = visited.page
            visited.hold_time()
            visited.open("/")
            page.click("#row button.main")
            page.wait_for_selector(".verdict")
            show_figures(visited)
            for place in ("main", "try", "live", "model", "routes"):
                page.evaluate("(id) => document.getElementById(id).scrollIntoView()", place)
                taken.append(folder / f"home-{name}-{place}.png")
                page.screenshot(path=taken[-1])
            visited.open("/docs")
            for place in ("main", "post_predict_batch", "schema-BarsBody"):
                page.evaluate("(id) => document.getElementById(id).scrollIntoView()", place)
                taken.append(folder / f"docs-{name}-{place}.png")
                page.screenshot(path=taken[-1])
    return taken


def take_for_documentation(browser: Browser, port: int, folder: Path) -> list[Path]:
    """Write pictures of the beginning of the home page, after a prediction; return their paths."""
    taken = []
    for scheme in SCHEMES:
        with visit(browser, port, size=(1280, 1130), scheme=scheme, reduced_motion="reduce") as visited:
            page = visited.page
            visited.open("/")
            page.get_by_role("radio", name="CSV of bars").check(force=True)
            page.click("#example-bars")
            for _ in range(WARM):  # the first ones are slower, and no example
                with page.expect_response("**/predict/bars"):
                    page.click("#bars button.main")
                page.wait_for_selector("#bars button.main:not([aria-disabled])")
            page.evaluate("scrollTo(0, 0)")
            taken.append(folder / f"home-{scheme}.png")
            page.screenshot(path=taken[-1])
            with Image.open(taken[-1]) as picture:
                picture.quantize(128).save(taken[-1], optimize=True)
    return taken


if __name__ == "__main__":
    pictures = Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    chosen = take_for_documentation if "--documentation" in sys.argv else take
    with running_server(Path(sys.argv[1])) as server, running_browser() as chromium:
        for path in chosen(chromium, server.port, pictures):
            sys.stdout.write(f"{path}\n")
