"""The pages in a real browser on a real server: by hand, by keyboard, by rules, with hostile models."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from runtime.artifact import CARD_KEY
from tests.bars import lists
from tests.runtime.conftest import edited
from tests.runtime.test_home import HOSTILE, renamed, training
from tests.serving import RunningServer, free_port, running_server
from tests.system.browser import DESKTOP, PERIOD_MILLISECONDS, PHONE, Scheme, Visit, running_browser, visit
from tests.system.pictures import SEND_SOME, VIEWS, take, take_for_documentation

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.system

REFUSED = "the server responded with a status of"
"""What the browser's console says of every reply that is none of success."""
TOKEN = "a-token-of-this-test"
HEAD = "Date,Open,High,Low,Close,Volume"
GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[RunningServer]:
    with running_server(model) as running:
        yield running


@pytest.fixture(scope="module")
def guarded(model: Path) -> Iterator[RunningServer]:
    with running_server(model, PREDICT_TOKENS=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture
def home(browser: Browser, server: RunningServer) -> Iterator[Visit]:
    with visit(browser, server.port) as visited:
        visited.open("/")
        yield visited


def csv(bars: list[list[Any]], head: str = HEAD) -> str:
    return "\n".join([*([head] if head else []), *(",".join(map(str, bar)) for bar in bars)])


def send_bars(page: Page, text: str) -> None:
    """Send bars by the form, as a reader would."""
    page.get_by_role("radio", name="CSV of bars").check(force=True)
    page.get_by_label("Daily bars, one a line").fill(text)
    page.locator("#bars").get_by_role("button", name="Predict").click()


def predicted(prediction: dict[str, Any]) -> re.Pattern[str]:
    """Return what the form says of a prediction."""
    return re.compile(f"^{prediction['prediction_label']} {100 * prediction['probability']:.1f} %")


def stages(page: Page) -> dict[str, str]:
    """Return the stages that are shown, with their times."""
    rows = page.locator(".stages > div")
    return {row.locator("dt").inner_text(): row.locator("dd").inner_text() for row in rows.all()}


def metrics_asked_for(visited: Visit) -> int:
    """Return how often the metrics are asked for in ten periods of the page's clock."""
    asked: list[str] = []
    visited.page.on("request", lambda request: asked.append(request.url))
    visited.page.clock.run_for(10 * PERIOD_MILLISECONDS)
    visited.settle()  # what was asked for before this is noted before it
    return sum(url.endswith("/metrics") for url in asked)


def test_the_form_predicts_and_shows_where_the_time_went(home: Visit, server: RunningServer) -> None:
    page = home.page
    page.locator("#row").get_by_role("button", name="Predict").click()
    demo = server.request("GET", "/predict/demo").json()
    expect(page.locator("#verdict")).to_have_text(predicted(demo))
    assert list(stages(page)) == ["parse", "infer", "encode", "total"]
    assert all(re.fullmatch(r"[\d.]+ (µs|ms)", time) for time in stages(page).values())
    page.get_by_label("RSI", exact=True).fill("70")
    page.get_by_label("RSI", exact=True).press("Enter")
    row = [float(field.input_value()) for field in page.locator("#row input").all()]
    assert row[7] == 70
    expect(page.locator("#verdict")).to_have_text(
        predicted(server.request("POST", "/predict", {"features": row}).json())
    )


def test_numbers_are_pasted_into_all_fields(home: Visit, server: RunningServer) -> None:
    page, row = home.page, [round(0.25 * index, 2) for index in range(22)]
    page.get_by_role("button", name="Clear").first.click()
    expect(page.get_by_label("SMA_5", exact=True)).to_be_focused()
    page.evaluate(
        """(text) => {
          const data = new DataTransfer();
          data.setData('text', text);
          const options = { clipboardData: data, bubbles: true, cancelable: true };
          document.activeElement.dispatchEvent(new ClipboardEvent('paste', options));
        }""",
        str(row),
    )
    assert [float(field.input_value()) for field in page.locator("#row input").all()] == row
    expect(page.locator("#announcer")).to_have_text("22 values pasted")
    page.locator("#row").get_by_role("button", name="Predict").click()
    expect(page.locator("#verdict")).to_have_text(
        predicted(server.request("POST", "/predict", {"features": row}).json())
    )
    page.get_by_role("button", name="Example").first.click()
    expect(page.get_by_label("SMA_5", exact=True)).not_to_have_value("0")


def test_a_wrong_value_is_named_and_its_field_has_the_focus(home: Visit) -> None:
    home.foreseen = f"{REFUSED} 422"
    page = home.page
    gap = page.get_by_label("Gap", exact=True)
    for value, words in (("", "Gap needs a number."), ("1e39", r"features\[21\]: .*")):
        gap.fill(value)
        gap.press("Enter")
        expect(page.locator("#verdict")).to_have_text(re.compile(words))
        expect(gap).to_be_focused()
        expect(gap).to_have_attribute("aria-invalid", "true")
    gap.fill("0.01")
    gap.press("Enter")
    expect(page.locator("#verdict strong")).to_be_visible()
    expect(gap).not_to_have_attribute("aria-invalid", "true")


def test_bars_of_a_csv_are_predicted(home: Visit, server: RunningServer) -> None:
    page = home.page
    forms: list[Callable[[list[list[Any]]], str]] = [
        csv,
        lambda bars: csv(bars, head=""),
        lambda bars: csv(bars[::-1]),
        lambda bars: csv(bars).replace(",", ";"),
        lambda bars: csv(bars).replace(",", "\t").replace("\n", "\r\n"),
        lambda bars: csv(
            [[f'"{bar[0]}"', *bar[1:5], bar[4], bar[5]] for bar in bars],
            head="date,open,high,low,close,Adj Close,volume",
        ),
        lambda bars: csv(
            [[f"{bar[0][5:7]}/{bar[0][8:]}/{bar[0][:4]}", *(f"${each}" for each in bar[1:5]), bar[5]] for bar in bars]
        ),
    ]
    for shift, form in enumerate(forms):
        bars = lists(4000 + shift, 4250 + shift)
        send_bars(page, form(bars))
        expect(page.locator("#verdict")).to_contain_text(f"after {bars[-1][0]}")
        expected = server.request("POST", "/predict/bars", {"bars": bars}).json()
        expect(page.locator("#verdict")).to_have_text(predicted(expected))
    assert list(stages(page)) == ["parse", "features", "infer", "encode", "total"]
    send_bars(page, csv([bar[1:] for bar in bars], head=""))
    expect(page.locator("#verdict")).to_contain_text("after bar 250")
    expect(page.locator("#verdict")).to_have_text(predicted(expected))


def test_a_long_series_is_timed_too_and_a_file_will_do(home: Visit, server: RunningServer, tmp_path: Path) -> None:
    page, bars = home.page, lists(0, 5031)
    file = tmp_path / "stock_data.csv"
    file.write_text(csv(bars))
    page.get_by_role("radio", name="CSV of bars").check(force=True)
    page.get_by_label("or a file").set_input_files(file)
    expect(page.get_by_label("Daily bars, one a line")).to_have_value(re.compile(str(bars[-1][0])))
    page.locator("#bars").get_by_role("button", name="Predict").click()
    whole = server.request("POST", "/predict/bars", {"bars": bars}).json()
    expect(page.locator("#verdict")).to_have_text(predicted(whole))
    assert "features" in stages(page)


def test_several_tickers_are_told_apart_and_the_example_works(home: Visit, server: RunningServer) -> None:
    page, first, second = home.page, lists(4000, 4100), lists(4100, 4110)
    mixed = [[bar[0], name, *bar[1:]] for name, bars in (("AAA", first), ("B<b>", second)) for bar in bars]
    send_bars(page, csv(mixed, head="Date,Ticker,Open,High,Low,Close,Volume"))
    home.foreseen = f"{REFUSED} 422"
    expect(page.locator("#verdict")).to_contain_text("ticker")  # B<b> is none
    send_bars(
        page,
        csv(
            [bar if bar[1] == "AAA" else [bar[0], "BBB", *bar[2:]] for bar in mixed],
            head="Date,Ticker,Open,High,Low,Close,Volume",
        ),
    )
    expect(page.locator("#verdict")).to_have_text("1 predicted, 1 failed.")
    expected = server.request("POST", "/predict/bars", {"bars": first}).json()
    expect(page.locator("#detail")).to_contain_text(
        f"{expected['prediction_label']} {100 * expected['probability']:.1f} %"
    )
    expect(page.locator("#detail")).to_contain_text("50")
    page.locator("#example-bars").click()
    page.locator("#bars").get_by_role("button", name="Predict").click()
    expect(page.locator("#verdict strong")).to_have_text(re.compile("UP|DOWN"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Paste some bars first."),
        ("Date,Open,Close\n2020-01-01,1,2", "expected a column for High, got 'Date', 'Open', 'Close'"),
        (csv(lists(0, 60)) + "\n2030-01-01,1,2,3,x,5", "line 62, column Close: expected a number, got 'x'"),
        (csv(lists(0, 30)), "50"),
    ],
)
def test_what_is_wrong_with_bars_is_said(home: Visit, text: str, words: str) -> None:
    home.foreseen = f"{REFUSED} 422"
    send_bars(home.page, text)
    expect(home.page.locator("#verdict")).to_contain_text(words)


def test_the_line_that_is_wrong_is_selected(home: Visit) -> None:
    home.foreseen = f"{REFUSED} 422"
    lines = csv(lists(0, 60)).split("\n")
    lines[29] = "2030-01-01,1,2,3,x,5"
    send_bars(home.page, "\n".join(lines))
    field = home.page.get_by_label("Daily bars, one a line")
    expect(field).to_have_attribute("aria-invalid", "true")
    assert field.evaluate("(field) => field.value.slice(field.selectionStart, field.selectionEnd)") == lines[29]


def test_the_form_is_used_by_keyboard_alone(home: Visit) -> None:
    page, keyboard = home.page, home.page.keyboard
    keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    keyboard.press("Enter")
    seen: list[str] = []
    while not seen or seen[-1] != "RSI":
        keyboard.press("Tab")
        seen.append(page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()"))
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        assert len(seen) < 30
    assert seen[:4] == ["Try a prediction", "API reference", "the commands below", "Feature values"]
    assert seen[4:] == ["SMA_5", "SMA_10", "SMA_20", "SMA_50", "EMA_5", "EMA_10", "EMA_20", "RSI"]
    keyboard.press("Control+A")
    keyboard.type("12.5")
    keyboard.press("Enter")
    expect(page.locator("#verdict strong")).to_be_visible()
    expect(page.get_by_label("RSI", exact=True)).to_have_value("12.5")
    for _ in range(8):
        keyboard.press("Shift+Tab")
    keyboard.press("ArrowRight")
    expect(page.locator("#bars")).to_be_visible()
    keyboard.press("Tab")
    expect(page.get_by_label("Daily bars, one a line")).to_be_focused()


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


def storage(page: Page) -> str:
    """Return all that the browser keeps for the server, beside its cache."""
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
    )
    return f"{kept} {page.context.cookies()} {page.context.storage_state()}"


def test_a_token_opens_the_pages_and_is_stored_nowhere(browser: Browser, guarded: RunningServer) -> None:
    with visit(browser, guarded.port) as visited:
        visited.foreseen = f"{REFUSED} 401"
        page = visited.page
        visited.open("/")
        expect(page.get_by_label("Token")).to_be_visible()
        assert "random_forest" not in page.content()
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_have_text("This token opens nothing here.")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("Market bars in")
        page.locator("#row").get_by_role("button", name="Predict").click()
        expect(page.locator("#verdict strong")).to_be_visible()
        assert TOKEN not in storage(page)
        page.get_by_label("Token", exact=True).fill("wrong")
        page.locator("#row").get_by_role("button", name="Predict").click()
        expect(page.locator("#verdict")).to_contain_text("wants a token")
        expect(page.get_by_label("Token", exact=True)).to_be_focused()
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="API reference").click()
        expect(page.locator("h1")).to_have_text("API reference")
        assert page.url.endswith("/docs")
        assert page.evaluate("getComputedStyle(document.querySelector('.reference')).display") == "grid"
        page.go_back()
        expect(page.locator("h1")).to_contain_text("Market bars in")
        assert TOKEN not in storage(page)
        page.reload()
        expect(page.get_by_label("Token")).to_have_value("")
        assert "random_forest" not in page.content()


def test_colours_follow_the_reader_and_a_choice_is_kept(browser: Browser, server: RunningServer) -> None:
    grounds = {}
    schemes: tuple[Scheme, ...] = ("light", "dark")
    for scheme in schemes:
        with visit(browser, server.port, scheme=scheme) as visited:
            visited.open("/")
            grounds[scheme] = visited.page.evaluate(GROUND)
    assert grounds["light"] != grounds["dark"]
    with visit(browser, server.port, scheme="light") as visited:
        visited.open("/")
        visited.page.get_by_label("Dark").check(force=True)
        assert visited.page.evaluate(GROUND) == grounds["dark"]
        visited.open("/docs")
        assert visited.page.evaluate(GROUND) == grounds["dark"]
        expect(visited.page.get_by_label("Dark")).to_be_checked()
        visited.page.get_by_label("Auto").check(force=True)
        assert visited.page.evaluate(GROUND) == grounds["light"]


def violations(page: Page, *, colours: bool = True, others: bool = True) -> list[str]:
    """Return what breaks a rule of accessibility, each with the first element that does."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if not others:
        options["runOnly"] = ["color-contrast"]
    elif not colours:  # the one rule that takes long
        options["rules"] = {"color-contrast": {"enabled": False}}
    found = Axe().run(page, options=options).response["violations"]
    return [f"{each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.mark.parametrize(
    ("size", "scheme", "rules"),
    [(DESKTOP, "light", {}), (DESKTOP, "dark", {"others": False}), (PHONE, "light", {"colours": False})],
    ids=["light", "dark", "phone"],
)
def test_no_rule_of_accessibility_is_broken_and_nothing_is_cut_off(
    browser: Browser, server: RunningServer, size: tuple[int, int], scheme: Scheme, rules: dict[str, bool]
) -> None:
    # The rules are a script of another, which the policy of a page would not let touch it.
    with visit(browser, server.port, size=size, scheme=scheme, bypass_csp=True) as visited:
        page = visited.page
        visited.open("/")
        page.locator("#row").get_by_role("button", name="Predict").click()
        expect(page.locator("#verdict strong")).to_be_visible()
        page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
        assert violations(page, **rules) == []
        page.get_by_role("radio", name="CSV of bars").check(force=True)
        assert violations(page, colours=False) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        visited.open("/docs")
        if scheme == "light":  # the colours of both pages are one style sheet's
            assert violations(page, **rules) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_door_breaks_no_rule_of_accessibility(browser: Browser, guarded: RunningServer) -> None:
    with visit(browser, guarded.port, size=PHONE, bypass_csp=True) as visited:
        visited.foreseen = f"{REFUSED} 401"
        visited.open("/")
        assert violations(visited.page) == []


def test_pages_are_read_without_a_script(browser: Browser, server: RunningServer) -> None:
    with visit(browser, server.port, java_script_enabled=False) as visited:
        page = visited.page
        visited.open("/")
        expect(page.locator("#model")).to_contain_text("golden rows")
        expect(page.get_by_text("The form needs JavaScript.")).to_be_visible()
        expect(page.locator("#row").get_by_role("button", name="Predict")).to_be_disabled()
        expect(page.locator(".theme")).to_be_hidden()
        route = page.locator(".route").first
        route.locator("summary").click()
        expect(route.locator("pre")).to_contain_text(f"curl -s http://127.0.0.1:{server.port}/predict ")
        route.get_by_role("link", name="Reference").click()
        assert page.url.endswith("/docs#post_predict")
        expect(page.locator("#post_predict")).to_be_in_viewport()
        expect(page.locator("#post_predict")).to_contain_text("The milliseconds have passed")


def test_a_command_is_copied_as_it_is_shown(browser: Browser, server: RunningServer) -> None:
    with visit(browser, server.port, permissions=["clipboard-read", "clipboard-write"]) as visited:
        visited.open("/")
        page, route = visited.page, visited.page.locator(".route").nth(1)
        route.locator("summary").click()
        button = route.get_by_role("button", name="Copy: GET /predict/demo")
        button.click()
        expect(button).to_have_text("Copied")
        expect(page.locator("#announcer")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()") == f"curl -s http://127.0.0.1:{server.port}/predict/demo"


def test_a_hostile_model_does_nothing_to_a_browser(browser: Browser, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(edited(model.read_bytes(), CARD_KEY, renamed(HOSTILE, training(HOSTILE))))
    with running_server(path) as server, visit(browser, server.port) as visited:
        page = visited.page
        page.on("dialog", lambda dialog: visited.complaints.append(f"dialog: {dialog.message}"))
        visited.open("/")
        expect(page.locator("#model")).to_contain_text("<script>alert(1)</script>")
        page.locator("#row").get_by_role("button", name="Predict").click()
        expect(page.locator("#verdict strong")).to_contain_text("<script>alert(1)</script>")
        assert page.locator("img, main script").count() == 0
        visited.open("/docs")
        assert page.locator("img, main script").count() == 0


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
