"""docs/serving.md, the OpenAPI document and the home page name the same routes."""

import re
from pathlib import Path

from runtime import bars_endpoints, endpoints, inference_endpoints
from runtime.bars_csv import MOST_BARS
from tests.runtime.test_openapi import methods

PAGE = (Path(__file__).parents[1] / "docs" / "serving.md").read_text()
TABLE = PAGE.partition("## Routes")[2].partition("\n\n## ")[0]
ROUTES = [*endpoints.ROUTES, *bars_endpoints.ROUTES, *inference_endpoints.ROUTES]


def test_the_table_has_every_route_and_no_other() -> None:
    shown = set()
    for row in re.findall(r"^\| (.*?) \|", TABLE, re.MULTILINE):
        words = re.findall(r"`([^`]+)`", row)
        path = next((word.rpartition(" ")[2] for word in words if "/" in word.rpartition(" ")[2]), None)
        for word in words:
            *method, each = word.split(" ")
            named = each if "/" in each else path
            shown |= {(verb, named) for verb in (method or ([each] if each.isupper() else ["any"]))}
    served = {(method, route.path) for route in ROUTES for method in methods(route) if not route.path.startswith("/v2")}
    assert {entry for entry in shown if entry != ("any", "/v2/...")} == served
    assert ("any", "/v2/...") in shown


def test_it_says_how_many_bars_a_file_may_have() -> None:
    assert f"at most {MOST_BARS:,} bars" in PAGE
