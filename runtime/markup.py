"""HTML out of the files in `pages/`: what goes into it is escaped, unless it is HTML that was made here."""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from string import Template

FOLDER = Path(__file__).with_name("pages")

_FRAGMENT = re.compile(r'<template id="([a-z-]+)">\n?(.*?)\n?</template>', re.DOTALL)
_INDENTATION = re.compile(r"\n\s*")
_COMMENT = re.compile(r"\s+// .*")  # also behind code: no text of the scripts has two slashes between blanks
_LOOSE = re.compile(r"\s*([{};,])\s*|(?<=:) ")


class Markup(str):
    """HTML, made of fragments alone."""

    __slots__ = ()


def _read_fragments() -> dict[str, Template]:
    """Return every fragment of every file by its name."""
    texts = [path.read_text("utf-8") for path in sorted(FOLDER.glob("*.html"))]
    found = [match.groups() for text in texts for match in _FRAGMENT.finditer(text)]
    fragments = {name: Template(_INDENTATION.sub("\n", text)) for name, text in found}
    assert len(fragments) == len(found), "two fragments have one name"
    return fragments


_FRAGMENTS = _read_fragments()


def fill(name: str, /, **values: object) -> Markup:
    """Return a fragment with a value for each of its names; raises KeyError where one is missing."""
    safe = {key: value if isinstance(value, Markup) else escape(str(value)) for key, value in values.items()}
    return Markup(_FRAGMENTS[name].substitute(safe))


def join(pieces: Iterable[Markup]) -> Markup:
    """Return pieces of HTML, one after the other."""
    return Markup("".join(pieces))


def prose(text: str) -> Markup:
    """Return a text of a description, in which back quotes mark code."""
    parts = text.split("`")
    return join(fill("code" if place % 2 else "plain", text=part) for place, part in enumerate(parts))


def read_script(name: str) -> Markup:
    """Return a script without indentation and lines of comment; it is ours and needs no escape."""
    text = (FOLDER / name).read_text("utf-8")
    return Markup(_INDENTATION.sub("\n", _COMMENT.sub("", text)))


def read_style(name: str) -> Markup:
    """Return a style sheet without white space that means nothing; it is ours and needs no escape."""
    return Markup(_LOOSE.sub(r"\1", (FOLDER / name).read_text("utf-8")))
