"""The form of the home page in a real browser: rows, bars, what is wrong with them, by hand and by keyboard."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.bars import lists
from tests.serving import RunningServer
from tests.system.browser import REFUSED, Visit, visit

pytestmark = pytest.mark.system

HEAD = "Date,Open,High,Low,Close,Volume"


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
