"""The pages in a real browser on a real server: tokens, colours, no script, hostile models."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from runtime.artifact import CARD_KEY
from tests.runtime.conftest import edited
from tests.runtime.test_home import HOSTILE, renamed, training
from tests.serving import RunningServer, running_server
from tests.system.browser import REFUSED, TOKEN, Scheme, visit

pytestmark = pytest.mark.system

GROUND = "getComputedStyle(document.body).backgroundColor"


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
