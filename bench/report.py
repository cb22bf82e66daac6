"""Documents and pictures that are made of the results in `bench/results`: `tickline bench report` writes them all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import engines, peer_table, performance_page, scaling_page, suite_table, wire, wire_table

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
BEGIN, END = "<!-- made by tickline bench report -->\n", "<!-- end -->\n"


def documents() -> Iterator[tuple[Path, str]]:
    """Yield each document, and the text that it should have."""
    peers, on_the_wire, engine = (results(name) for name in ("peers", "wire", "engines"))
    growth, pod = results("scaling"), results("pod")
    yield README, between(README.read_text(), peer_table.short_table(peers))
    yield DOCS / "performance.md", performance_page.page(peers, on_the_wire, engine, results("baseline"))
    yield DOCS / "peers.md", peer_table.page(peers)
    yield DOCS / "scaling.md", scaling_page.page(growth, pod, peers, engine)
    yield wire.TABLE, wire_table.render(on_the_wire)
    yield suite_table.TABLE, suite_table.render(results("suites"))
    yield engines.PAGE, engines.page(engine)
    pictures = {"peers": peer_table.picture(peers), "engines": performance_page.picture(engine)}
    for name, picture in (pictures | scaling_page.pictures(growth)).items():
        yield DOCS / "pictures" / f"{name}.svg", picture


def results(name: str) -> dict[str, Any]:
    """Return what a benchmark has written."""
    found: dict[str, Any] = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())
    return found


def between(document: str, table: str) -> str:
    """Return a document with a table between its two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{table}{end}{after}"


def write() -> list[Path]:
    """Write the documents that differ, and return them."""
    changed = [(path, text) for path, text in documents() if not path.exists() or path.read_text() != text]
    for path, text in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return [path for path, _ in changed]
