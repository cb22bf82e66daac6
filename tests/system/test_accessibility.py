"""The pages in a real browser by the rules of accessibility, in every size and colour."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.serving import RunningServer
from tests.system.browser import DESKTOP, PHONE, REFUSED, Scheme, visit

pytestmark = pytest.mark.system


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
