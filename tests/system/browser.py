"""A real browser on the pages of a real server: what it asked for, said and forbade is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
DESKTOP, PHONE = (1280, 900), (390, 844)
DEADLINE_MILLISECONDS = 30_000

Scheme = Literal["light", "dark"]

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
        Messages of the console that are warnings or worse, uncaught errors, violations of the policy, requests to elsewhere.
    """

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

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
    """Open a window on a server of loopback."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, **options)
    context.set_default_timeout(DEADLINE_MILLISECONDS)
    try:
        visited = Visit(context.new_page(), f"http://127.0.0.1:{port}")
        visited.watch()
        yield visited
    finally:
        context.close()
