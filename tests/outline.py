"""What a page consists of, as a browser without a script reads it."""

from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "br", "img"})

INLINE = frozenset({"a", "b", "code", "em", "i", "span", "strong"})
"""Elements whose end parts no words."""


class Outline(HTMLParser):
    """A parsed page; fails where an element is not closed where it should be.

    Attributes
    ----------
    elements : list
        Every element's name and attributes, in order.
    text : str
        All text outside of scripts and style sheets.
    scripts, styles : list of str
        Their content.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID and not self._closes_itself(tag):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element of SVG without content."""
        self.elements.append((tag, dict(attrs)))

    def _closes_itself(self, tag: str) -> bool:
        return tag in ("rect", "path") and "svg" in self._open

    def handle_endtag(self, tag: str) -> None:
        """End an element."""
        assert self._open, f"</{tag}> ends nothing"
        assert self._open[-1] == tag, f"</{tag}> ends {self._open}"
        self._open.pop()
        if tag not in INLINE:
            self.text += " "

    def handle_data(self, data: str) -> None:
        """Note a text."""
        if "script" in self._open:
            self.scripts.append(data)
        elif "style" in self._open:
            self.styles.append(data)
        else:
            self.text += data

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every element with the names of its attributes: what no text may change."""
        return [(tag, tuple(sorted(attributes))) for tag, attributes in self.elements]

    def all(self, tag: str, name: str) -> list[str]:
        """Return the values of an attribute of all elements of a kind."""
        return [attributes[name] or "" for each, attributes in self.elements if each == tag and name in attributes]

    @property
    def ids(self) -> list[str]:
        """All identities, in order."""
        return [attributes["id"] or "" for _, attributes in self.elements if "id" in attributes]
