"""What all pages share: small, bound by strict headers, and closed to those without a token."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outline import Outline
from tests.serving import Reply, RunningServer, running_server

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TOKEN = "a-token-of-this-test"
MOST_BYTES = 60_000


@pytest.fixture(scope="module")
def guarded(forest_path: Path) -> Iterator[RunningServer]:
    with running_server(forest_path, PREDICT_TOKENS=TOKEN) as running:
        yield running


def policy(reply: Reply) -> dict[str, list[str]]:
    """Return the directives of a reply's Content Security Policy."""
    directives = [directive.split() for directive in reply.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in directives}


def check_page(reply: Reply) -> Outline:
    """Check what holds for every page."""
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    page = reply.body.decode()
    outline = Outline(page)
    allowed = policy(reply)
    for directive, contents in (("script-src", outline.scripts), ("style-src", outline.styles)):
        for content in contents:
            assert f"'sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}'" in allowed[directive]
        assert all(source.startswith("'sha256-") for source in allowed[directive])
    assert allowed["default-src"] == ["'none'"]
    assert allowed["connect-src"] == ["'self'"]
    assert all(allowed[name] == ["'none'"] for name in ("base-uri", "form-action", "frame-ancestors"))
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["vary"] == "Accept"
    assert len(set(outline.ids)) == len(outline.ids)
    for tag, attributes in outline.elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        for name in ("src", "href", "action", "srcset", "poster"):
            target = attributes.get(name) or ""
            assert not target.startswith(("http:", "https:", "//", "javascript:")), target
            if target.startswith("#"):
                assert target[1:] in outline.ids
    assert not any(word in style for style in outline.styles for word in ("url(", "@import", "@font-face"))
    return outline


@pytest.mark.parametrize(("path", "most"), [("/", MOST_BYTES), ("/docs", 180_000)])
def test_pages_are_small_whole_and_strict(server: RunningServer, path: str, most: int) -> None:
    reply = server.request("GET", path, **HTML)
    assert reply.status == 200
    outline = check_page(reply)
    assert len(reply.body) < most
    assert [tag for tag, _ in outline.elements].count("h1") == 1
    assert outline.all("html", "lang") == ["en"]
    head = server.request("HEAD", path, **HTML)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(reply.body))


def test_the_address_is_the_one_that_the_client_used(server: RunningServer) -> None:
    for path in ("/", "/docs"):
        page = server.request("GET", path, Host="tickline.example.com:8443", **HTML).body.decode()
        assert "curl -s http://tickline.example.com:8443/predict " in page
        assert "127.0.0.1" not in page
        hostile = server.request("GET", path, Host="x';alert(1);'", **HTML).body.decode()
        assert f"curl -s http://localhost:{server.port}/predict " in hostile
        assert "alert(1)" not in hostile
        refused = server.request("GET", path, Host="x'><script>alert(1)</script>", **HTML)
        assert (refused.status, refused.headers["content-type"]) == (400, "application/problem+json")
    document = server.request("GET", "/", Host="tickline.example.com").json()
    assert all("http://tickline.example.com/" in route["example"] for route in document["routes"])


def test_without_a_token_a_browser_is_asked_for_one_and_told_nothing_of_the_model(guarded: RunningServer) -> None:
    for path in ("/", "/docs"):
        reply = guarded.request("GET", path, **HTML)
        assert reply.status == 401
        assert reply.headers["www-authenticate"] == "Bearer"
        outline = check_page(reply)
        assert "door-token" in outline.ids
        for secret in ("random_forest", "1.0.0", "SMA_5", TOKEN):
            assert secret not in outline.text
        program = guarded.request("GET", path)
        assert program.status == 401
        assert program.headers["content-type"] == "application/problem+json"
    assert guarded.request("GET", "/model/info", **HTML).headers["content-type"] == "application/problem+json"


def test_with_a_token_the_page_offers_a_field_for_it_and_holds_none(guarded: RunningServer) -> None:
    for path in ("/", "/docs"):
        reply = guarded.request("GET", path, Authorization=f"Bearer {TOKEN}", **HTML)
        assert reply.status == 200
        check_page(reply)
        assert TOKEN.encode() not in reply.body
        assert reply.headers["cache-control"] == "private, no-cache"
    home = guarded.request("GET", "/", Authorization=f"Bearer {TOKEN}", **HTML).body
    assert b'<input id="token" type="password"' in home
    assert b"Authorization: Bearer $PREDICT_TOKEN" in home
    assert len(home) < MOST_BYTES


@pytest.mark.parametrize(
    ("accept", "page"),
    [("text/html", True), ("*/*", False), ("application/json, text/html;q=0.5", False), ("text/html;q=0, */*", False)],
)
def test_a_page_is_for_those_who_like_it_better_than_json(server: RunningServer, accept: str, page: bool) -> None:
    assert server.request("GET", "/", Accept=accept).headers["content-type"].startswith("text/html") == page
