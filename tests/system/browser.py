"""A real browser on the pages of a real server: what it asked for, said and forbade is kept."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
DESKTOP, PHONE = (1280, 900), (390, 844)
DEADLINE_MILLISECONDS = 30_000
TOKEN = "a-token-of-the-tests"

REFUSED = "the server responded with a status of"
"""What the browser's console says of every reply that is none of success."""

Scheme = Literal["light", "dark"]

PERIOD_MILLISECONDS = 2000
"""Between two scrapes of a page."""

SETTLE = """async () => {
  await new Promise((seen) => new IntersectionObserver(seen).observe(document.getElementById('main')));
  await (await fetch('health/live')).text();
}"""
WATCH_POLICY = """
document.addEventListener('securitypolicyviolation', (event) => {
  console.error(`forbidden: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


@dataclass
class Visit:
    """A page that is open, and what went wrong on it.

    Attributes
    ----------
    page : Page
        The page.
    address : str
        Where its server is.
    complaints : list of str
        Warnings and errors of the console, uncaught errors, violations of the policy, requests to elsewhere.
    foreseen : str
        A pattern of complaints that are part of the test.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)
    foreseen: str = ""

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _see(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:")):
            self.complaints.append(f"asked elsewhere: {request.url}")

    def watch(self) -> None:
        """Begin to note complaints."""
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", self._see)
        self.page.add_init_script(WATCH_POLICY)

    def hold_time(self) -> None:
        """Let the clock of the pages that are opened from now on stand, but where `watch_on` moves it."""
        self.page.clock.install(time=0)
        self.page.clock.pause_at(1000)

    def begin_to_watch(self) -> None:
        """Look at the figures until the first scrape is there."""
        self.page.locator("#live").scroll_into_view_if_needed()
        self.settle()
        self.watch_on()

    def watch_on(self) -> None:
        """Let a period of the page's clock pass, and what is scraped at its end be drawn."""
        with self.page.expect_response("**/metrics") as answered:
            self.page.clock.run_for(PERIOD_MILLISECONDS)
        answered.value.finished()
        self.settle()

    def settle(self) -> None:
        """Wait until the page knows what is seen of it, and has read the replies that are there."""
        self.page.evaluate(SETTLE)

    def open(self, path: str = "/") -> None:
        """Open a page of the server."""
        self.page.goto(self.address + path)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run Debian's chromium."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: Browser, port: int, *, size: tuple[int, int] = DESKTOP, scheme: Scheme = "light", **options: Any
) -> Iterator[Visit]:
    """Open a window on a server of loopback; fails at its end where there were complaints."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
    context.set_default_timeout(DEADLINE_MILLISECONDS)
    try:
        visited = Visit(context.new_page(), f"http://127.0.0.1:{port}")
        visited.watch()
        yield visited
        unforeseen = [
            each for each in visited.complaints if not visited.foreseen or not re.search(visited.foreseen, each)
        ]
        assert not unforeseen
    finally:
        context.close()
