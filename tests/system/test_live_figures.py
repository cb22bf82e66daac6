"""The live figures of the home page in a real browser, and what it says where there are none."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.serving import RunningServer, free_port, running_server
from tests.system.browser import PERIOD_MILLISECONDS, REFUSED, Visit, visit
from tests.system.pictures import SEND_SOME

pytestmark = pytest.mark.system


def metrics_asked_for(visited: Visit) -> int:
    """Return how often the metrics are asked for in ten periods of the page's clock."""
    asked: list[str] = []
    visited.page.on("request", lambda request: asked.append(request.url))
    visited.page.clock.run_for(10 * PERIOD_MILLISECONDS)
    visited.settle()  # what was asked for before this is noted before it
    return sum(url.endswith("/metrics") for url in asked)


def test_the_charts_follow_the_metrics(browser: Browser, server: RunningServer) -> None:
    with visit(browser, server.port) as visited:
        page = visited.page
        visited.hold_time()
        visited.open("/")
        visited.begin_to_watch()
        page.evaluate(SEND_SOME, 40)
        visited.watch_on()
        visited.watch_on()
        rate = page.locator("#rate")
        expect(rate).to_have_text("10")  # 40 in the 4 seconds of this page's clock
        for name in ("p50", "p95", "p99"):
            assert re.fullmatch(r"[\d.]+ (µs|ms|s)", page.locator(f"#{name}").inner_text())
        expect(page.locator("#failed")).to_have_text("0.0")
        expect(page.locator("#rate-text")).to_have_text("Now 10 a second, at most 20 in what is drawn.")
        expect(page.locator("#latency-text")).to_contain_text("Now a median of")
        assert str(page.locator("#rate-chart .trace").get_attribute("d")).count("L") == 1
        assert page.locator("#latency-chart .trace").count() == 2
        page.get_by_label("Route", exact=True).select_option("/metrics")
        expect(rate).to_have_text("0.5")
        page.get_by_label("Route", exact=True).select_option("/predict")
        expect(rate).to_have_text("10")


def test_the_charts_can_be_paused_and_rest_while_no_one_looks(browser: Browser, server: RunningServer) -> None:
    with visit(browser, server.port) as visited:
        page = visited.page
        visited.hold_time()
        visited.open("/")
        visited.begin_to_watch()
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_role("button", name="Resume")).to_have_attribute("aria-pressed", "true")
        assert metrics_asked_for(visited) == 0
        page.get_by_role("button", name="Resume").click()
        visited.watch_on()
        page.locator("footer").scroll_into_view_if_needed()
        visited.settle()
        assert metrics_asked_for(visited) == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "The metrics need a token"),
        (404, "The metrics are not on this port."),
        (503, "The metrics were answered with 503."),
        (0, "The server does not answer; asking again."),
    ],
)
def test_metrics_that_cannot_be_had_are_said_to_be_so(
    browser: Browser, server: RunningServer, status: int, words: str
) -> None:
    with visit(browser, server.port) as visited:
        visited.foreseen = f"{REFUSED} {status}|ERR_FAILED"
        page = visited.page
        visited.hold_time()

        def gateway(route: Route) -> None:
            if status:
                route.fulfill(status=status, body="no")
            else:
                route.abort()

        page.route("**/metrics", gateway)
        visited.open("/")
        page.locator("#live").scroll_into_view_if_needed()
        visited.settle()
        page.clock.run_for(PERIOD_MILLISECONDS)
        expect(page.locator("#live-state")).to_contain_text(words)
        page.unroute("**/metrics")
        visited.watch_on()
        expect(page.locator("#live-state")).to_have_text("")


def test_metrics_on_a_port_of_their_own_are_not_asked_for(browser: Browser, model: Path) -> None:
    port = free_port()
    with running_server(model, METRICS_PORT=str(port)) as server, visit(browser, server.port) as visited:
        visited.open("/")
        visited.page.locator("#live").scroll_into_view_if_needed()
        expect(visited.page.locator("#live")).to_contain_text(f"http://127.0.0.1:{port}/metrics")
        visited.page.locator("#row").get_by_role("button", name="Predict").click()
        expect(visited.page.locator("#verdict strong")).to_be_visible()
