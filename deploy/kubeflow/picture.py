"""A compiled pipeline as a picture: its steps in their order, what they hand on, and on what condition."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

BOX = (92, 44)
STRIDE = 188
MARGIN = 24
MIDDLE = 116
PAD = 12
ROW = 17
FOOT = 22
"""Heights and widths in pixels; the boxes stand in one row, whose middle is this far from the top."""

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2430; text-anchor: middle }
  .step { font-weight: 600; font-size: 14px }
  .parameter { font: 12px ui-monospace, monospace; fill: #5b6472 }
  .group text { text-anchor: end }
  rect { fill: #eef3fb; stroke: #3b6cb4; stroke-width: 1.5 }
  .group rect { fill: none; stroke: #5b6472; stroke-dasharray: 5 4 }
  path { fill: none; stroke: #5b6472; stroke-width: 1.5 }
  marker path { fill: #5b6472; stroke: none }
  .ground { fill: #ffffff; stroke: none }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6e9ef } .parameter { fill: #a9b2c0 } rect { fill: #1d2a3d; stroke: #7ea6e0 }
    .group rect, path { stroke: #a9b2c0 } marker path { fill: #a9b2c0 } .ground { fill: #0d1117; stroke: none }
  }
"""


@dataclass
class Step:
    """One step: what it takes from which other ones, its parameters, and the groups that it is in."""

    name: str
    takes: list[tuple[str, str]] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    groups: tuple[str, ...] = ()


Sources = Mapping[str, tuple[str, str]]


def steps_of(specification: Mapping[str, Any]) -> list[Step]:
    """Return all steps of a compiled pipeline: Kubeflow's PipelineSpec, as parsed YAML."""

    def walk(dag: Mapping[str, Any], sources: Sources, groups: tuple[str, ...], waits: list[str]) -> Iterator[Step]:
        for name, task in dag["tasks"].items():
            inputs = task.get("inputs", {})
            taken = {key: _source(each, sources) for key, each in inputs.get("artifacts", {}).items()}
            given = inputs.get("parameters", {}).values()
            decisive = [each["taskOutputParameter"]["producerTask"] for each in given if "taskOutputParameter" in each]
            component = specification["components"][task["componentRef"]["name"]]
            if "dag" in component:
                group = (*groups, f"if {task['taskInfo']['name']}")
                yield from walk(component["dag"], taken, group, [*waits, *decisive])
            else:
                named = [
                    each["componentInputParameter"].removeprefix("pipelinechannel--")  # inside a condition
                    for each in given
                    if "componentInputParameter" in each
                ]
                yield Step(name, list(taken.values()), [*waits, *decisive], named, groups)

    return list(walk(specification["root"]["dag"], {}, (), []))


def _source(taken: Mapping[str, Any], sources: Sources) -> tuple[str, str]:
    """Return the step that makes an artifact, and the artifact's name."""
    if "componentInputArtifact" in taken:
        return sources[taken["componentInputArtifact"]]
    made = taken["taskOutputArtifact"]
    return made["producerTask"], made["outputArtifactKey"]


def in_order(steps: list[Step]) -> list[Step]:
    """Return the steps so that each comes after those that it needs; of two that could, the one with more behind it."""
    needs = {step.name: {name for name, _ in step.takes} | set(step.waits) for step in steps}
    ordered: list[Step] = []
    while len(ordered) < len(steps):
        placed = {step.name for step in ordered}
        ready = [step for step in steps if step.name not in placed and needs[step.name] <= placed]
        if not ready:
            raise ValueError(f"pipeline: expected steps without a circle, got one in {sorted(set(needs) - placed)}")
        ordered.append(max(ready, key=lambda step: sum(step.name in each for each in needs.values())))
    return ordered


def draw(specification: Mapping[str, Any]) -> str:
    """Return a compiled pipeline as SVG."""
    steps = in_order(steps_of(specification))
    left = {step.name: MARGIN + STRIDE * place for place, step in enumerate(steps)}
    most = max(len(step.parameters) for step in steps)
    width = 2 * MARGIN + STRIDE * (len(steps) - 1) + BOX[0]
    height = MIDDLE + BOX[1] // 2 + MARGIN + ROW * most + FOOT * max(len(step.groups) for step in steps)
    title = escape(specification["pipelineInfo"]["name"])
    told = escape(", ".join(step.name for step in steps))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title told">',
        f'<title id="title">{title}</title>',
        f'<desc id="told">The steps in their order: {told}.</desc>',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
        f'<rect class="ground" width="{width}" height="{height}"/>',
        *_groups(steps, left),
        *(line for step in steps for line in _arrows(step, left)),
        *(line for step in steps for line in _box(step, left[step.name])),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _groups(steps: list[Step], left: Mapping[str, int]) -> Iterator[str]:
    """Draw a frame around the steps of each condition, which stands at its foot."""
    deepest = max(len(step.groups) for step in steps)
    for group in dict.fromkeys(group for step in steps for group in step.groups):
        inside = [step for step in steps if group in step.groups]
        places = [left[step.name] for step in inside]
        depth = inside[0].groups.index(group)
        pad = PAD // (depth + 1)
        x, y = min(places) - pad, MIDDLE - BOX[1] // 2 - pad
        width = max(places) - min(places) + BOX[0] + 2 * pad
        below = 12 + ROW * max(len(step.parameters) for step in inside) + FOOT * (deepest - depth)
        yield '<g class="group">'
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{BOX[1] + pad + below}" rx="8"/>'
        yield f'<text x="{x + width - 6}" y="{y + BOX[1] + pad + below - 7}">{escape(group)}</text></g>'


def _arrows(step: Step, left: Mapping[str, int]) -> Iterator[str]:
    """Draw what a step takes: straight from its neighbour, above the row from farther away."""
    for name, artifact in step.takes:
        start, end = left[name] + BOX[0], left[step.name]
        if end - start < STRIDE:
            yield f'<path d="M{start} {MIDDLE}H{end}" marker-end="url(#tip)"/>'
            yield f'<text x="{(start + end) // 2}" y="{MIDDLE - 8}">{escape(artifact)}</text>'
        else:
            top = MIDDLE - BOX[1] // 2
            start, end = start - BOX[0] // 2, end + BOX[0] // 2
            yield f'<path d="M{start} {top}C{start} {top - 62} {end} {top - 62} {end} {top}" marker-end="url(#tip)"/>'
            yield f'<text x="{(start + end) // 2}" y="{top - 52}">{escape(artifact)}</text>'


def _box(step: Step, x: int) -> Iterator[str]:
    """Draw a step, and below it the parameters of the run that it takes."""
    y = MIDDLE - BOX[1] // 2
    middle = x + BOX[0] // 2
    yield f'<rect x="{x}" y="{y}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>'
    yield f'<text class="step" x="{middle}" y="{MIDDLE + 5}">{escape(step.name)}</text>'
    for row, parameter in enumerate(step.parameters):
        yield f'<text class="parameter" x="{middle}" y="{y + BOX[1] + 20 + ROW * row}">{escape(parameter)}</text>'
