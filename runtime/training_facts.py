"""What a model file says of its training, as HTML: whatever that is, for no server has checked it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from runtime.artifact import ModelCard
from runtime.markup import Markup, fill, join

_MOST_PARTS, _MOST_ROWS, _MOST_COLUMNS = 4, 8, 8  # that the home page shows
_LONGEST_CELL = 60  # characters


def render_training(card: ModelCard) -> Markup:
    """Return tables of the metrics beside those of the baselines, and what the test rows say of both."""
    facts = card.training
    if not facts:
        return fill("no-training")
    metrics, baselines = _mapping(facts.get("metrics")), _mapping(facts.get("baselines"))
    tables = [
        _render_table(part, [(card.name, values), *_mapping(baselines.get(part)).items()])
        for part, values in list(metrics.items())[:_MOST_PARTS]
        if isinstance(values, Mapping) and values
    ]
    tables.reverse()  # the last part is the one that no choice was made on
    return join((_render_skill(facts), *tables, fill("training-rest")))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _render_skill(facts: Mapping[str, Any]) -> Markup:
    """Return what the test rows say of the model beside its strongest baseline, where the file tells."""
    skill = _mapping(_mapping(facts.get("skill")).get("test"))
    gain, error, baseline = (skill.get(name) for name in ("accuracy_gain", "standard_error", "baseline"))
    if not isinstance(gain, int | float) or not isinstance(error, int | float):
        return Markup()
    name = _cell(baseline).replace("_", " ")
    text = (
        f"On test rows: {100 * gain:+.1f} points of accuracy against the baseline {name}, "
        f"standard error {100 * error:.1f}."
    )
    return fill("finding", text=text)


def _render_table(part: str, rows: Sequence[tuple[str, Any]]) -> Markup:
    """Return a table of one part's metrics, a row for the model and one for each baseline."""
    shown = [(name, values) for name, values in rows if isinstance(values, Mapping)][:_MOST_ROWS]
    columns = list(shown[0][1])[:_MOST_COLUMNS]
    body = (
        fill(
            "metrics-row",
            name=_cell(name).replace("_", " "),
            kind="baseline" if place else "own",
            cells=join(fill("cell", value=_cell(values.get(column))) for column in columns),
        )
        for place, (name, values) in enumerate(shown)
    )
    heads = join(fill("column", name=_cell(column).replace("_", " ")) for column in columns)
    return fill("metrics-table", part=_cell(part), columns=heads, rows=join(body))


def _cell(value: Any) -> str:
    """Return a value in few characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]}..."
