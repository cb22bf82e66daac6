"""HTML out of files: what goes in is escaped, what is missing is refused."""

import re

import pytest

from runtime.markup import FOLDER, Markup, fill, join, prose, read_script, read_style
from tests.outline import Outline


def test_values_are_escaped_and_html_made_here_is_not() -> None:
    hostile = """</code><script>"'&"""
    assert fill("code", text=hostile) == "<code>&lt;/code&gt;&lt;script&gt;&quot;&#x27;&amp;</code>"
    assert fill("paragraph", text=fill("code", text="<")) == "<p><code>&lt;</code></p>"
    assert isinstance(fill("code", text=""), Markup)


def test_a_text_is_no_html_however_it_was_put_together() -> None:
    made = fill("code", text="a")
    assert not isinstance(made + "<b>", Markup)
    assert not isinstance(made.upper(), Markup)
    assert isinstance(join([made, made]), Markup)


def test_dollars_and_names_in_values_stay_as_they_are() -> None:
    assert fill("code", text="$text ${text} $$") == "<code>$text ${text} $$</code>"


def test_a_value_that_is_missing_is_refused() -> None:
    with pytest.raises(KeyError, match="text"):
        fill("code")


def test_back_quotes_mark_code() -> None:
    assert prose("a `b<` c") == "a <code>b&lt;</code> c"


def test_scripts_and_styles_lose_what_means_nothing() -> None:
    script, style = read_script("page.js"), read_style("page.css")
    assert not re.search(r"^\s|^//", script, re.MULTILINE)
    assert len(script) < len((FOLDER / "page.js").read_text())
    assert ":root{color-scheme:light dark;" in style
    for text in (script, style, read_script("door.js"), read_style("reference.css")):
        assert "</" not in text  # nothing in them ends their element


def test_every_fragment_file_holds_fragments_alone() -> None:
    for path in FOLDER.glob("*.html"):
        rest = re.sub(r'<template id="[a-z-]+">.*?</template>', "", path.read_text(), flags=re.DOTALL)
        assert not rest.strip(), path


def test_the_outline_sees_what_is_not_closed() -> None:
    with pytest.raises(AssertionError, match="ends"):
        Outline("<p><b></p></b>")
