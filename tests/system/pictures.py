"""Pictures of the pages, to be looked at: ``python -m tests.system.pictures MODEL FOLDER``."""

import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.serving import running_server
from tests.system.browser import DEADLINE_MILLISECONDS, DESKTOP, PHONE, Scheme, Visit, running_browser, visit

VIEWS: tuple[tuple[str, tuple[int, int], Scheme], ...] = (
    ("light", DESKTOP, "light"),
    ("dark", DESKTOP, "dark"),
    ("phone", PHONE, "light"),
    ("phone-dark", PHONE, "dark"),
)

SEND_SOME = """async (count) => {
  for (let index = 0; index < count; index++) {
    const row = Array.from({ length: 22 }, (_, column) => Math.sin(index * column));
    const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ features: row }) };
    await fetch('predict', options);
  }
}"""


def show_figures(visited: Visit, count: int = 200) -> None:
    """Send predictions from the page until its charts are drawn."""
    page = visited.page
    page.locator("#live").scroll_into_view_if_needed()
    expect(page.locator("#rate")).not_to_have_text("–", timeout=DEADLINE_MILLISECONDS)
    page.evaluate(SEND_SOME, count)
    expect(page.locator("#p50")).not_to_have_text("–", timeout=DEADLINE_MILLISECONDS)


def take(browser: Browser, port: int, folder: Path) -> list[Path]:
    """Write pictures of both pages in every view; return their paths."""
    taken = []
    for name, size, scheme in VIEWS:
        with visit(browser, port, size=size, scheme=scheme, reduced_motion="reduce") as visited:
            page = visited.page
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


if __name__ == "__main__":
    pictures = Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    with running_server(Path(sys.argv[1])) as server, running_browser() as chromium:
        for path in take(chromium, server.port, pictures):
            sys.stdout.write(f"{path}\n")
