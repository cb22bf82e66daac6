"""The report of a load: as text, as JSON, and as a page with pictures."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.load_plots import draw_by_percentile, draw_by_rate
from bench.slo import Objective

_SHOWN = ("p50", "p90", "p99", "p99.9", "max")


def judge(steps: Sequence[dict[str, Any]], objectives: Sequence[Objective], sweep: bool) -> dict[str, Any]:
    """Return whether a load passed.

    Wrong replies fail it whatever is asked for, and so does a server that is gone before the end. Any other error
    fails it unless an objective says how many are allowed. Objectives must hold in every step; in a sweep, which is
    meant to go beyond what a server can do, in one of the open-loop steps at least.
    """
    asked = list(objectives)
    if not any(objective.name == "errors" for objective in asked):
        asked.append(Objective("errors=0", "errors", 0.0))
    found = [
        {
            "objective": one.text,
            "values": [one.found(step) for step in steps],
            "held": [one.holds(step) for step in steps],
        }
        for one in asked
    ]
    kept = [all(one["held"][place] for one in found) for place in range(len(steps))]
    measured = [kept[place] for place, step in enumerate(steps) if step["loop"] == "open"] if sweep else kept
    rates = [step["offered"] for step, held in zip(steps, kept, strict=True) if held and step["loop"] == "open"]
    wrong = sum(step["wrong"] for step in steps)
    return {
        "objectives": found,
        "highest_rate": max(rates, default=None),
        "wrong": wrong,
        "passed": not wrong and not steps[-1]["silence"] and (any(measured) if sweep else all(measured)),
    }


def render_text(report: dict[str, Any]) -> str:
    """Return a report as text."""
    target, verdict = report["target"], report["verdict"]
    head = ("", "requests/s", "answered/s", *_SHOWN, "errors", "CPU/request", "client")
    lines = [head, *(_line(step) for step in report["steps"])]
    if all(step["server_cpu"] is None for step in report["steps"]):
        unknown = head.index("CPU/request")
        lines = [line[:unknown] + line[unknown + 1 :] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    rows = f", {target['rows']} rows each" if target["rows"] else ""
    checked = f", probabilities checked against {target['model']}" if target["model"] else ""
    text = [f"{target['url']}{target['route']}: {target['bodies']:,} different bodies{rows}{checked}", "", *table, ""]
    for step in report["steps"]:
        for fault, count in step["faults"].items():
            example = step["examples"][fault]
            text.append(f"{count:,} x {fault}" + (f", such as: {example}" if example else ""))
        if step["faults"]:
            text.append("the latencies are of all requests: those that failed count with the time that it took them")
        if step["silence"]:
            text.append(_gone(step["silence"]))
        elif step["client"]["is_limit"]:
            text.append(_limit(step))
    for one in verdict["objectives"]:
        held = sum(one["held"])
        text.append(
            f"{one['objective']}: "
            + ("held" if held == len(one["held"]) else f"missed, {held} of {len(one['held'])} steps held it")
        )
    if len(report["steps"]) > 1 and verdict["highest_rate"]:
        text.append(f"highest rate that held all: {verdict['highest_rate']:,g} requests/s")
    if verdict["wrong"]:
        text.append(f"{verdict['wrong']:,} replies were wrong")
    text.append("passed" if verdict["passed"] else "failed")
    return "\n".join(text)


def _line(step: dict[str, Any]) -> tuple[str, ...]:
    cpu = step["server_cpu"]
    return (
        step["loop"],
        f"{step['offered']:,.0f}",
        f"{step['rate']:,.0f}",
        *(seconds(step["latency"][name]) for name in _SHOWN),
        f"{step['errors']:,}",
        "-" if cpu is None else seconds(cpu),
        f"{step['client']['busy']:.0%} busy",
    )


def _gone(silence: dict[str, Any]) -> str:
    return (
        f"the server was gone {seconds(silence['after'])} after the begin of this step: {silence['reason']}; "
        f"{silence['requests']:,} requests from then on had no reply, and what was to follow is not measured"
    )


def _limit(step: dict[str, Any]) -> str:
    client = step["client"]
    words = (
        f"at {step['offered']:,.0f} requests/s this client is itself the limit: it was at work {client['busy']:.0%} "
        f"of the time and sent 99 % of the requests within {seconds(client['delay']['p99'])} of when it could"
    )
    if step["errors"]:  # which may be what kept it at work
        return words
    return f"{words}; the server is better than these latencies say"


def seconds(value: float) -> str:
    """Return a time with three digits and its unit."""
    for factor, unit in ((1e6, "us"), (1e3, "ms"), (1.0, "s")):
        if value * factor < 999.5 or unit == "s":
            shown = value * factor
            digits = 0 if shown >= 99.95 else 1 if shown >= 9.995 else 2
            return f"{shown:.{digits}f} {unit}"
    raise AssertionError


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write `report.json`, `report.txt`, two pictures, and `report.html`, which holds all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    text = render_text(report)
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    (folder / "report.txt").write_text(text + "\n")
    pictures = {"latency_by_percentile": draw_by_percentile(report["steps"])}
    if sum(step["loop"] == "open" for step in report["steps"]) > 1:
        pictures["latency_by_rate"] = draw_by_rate(report["steps"])
    for name, content in pictures.items():
        (folder / f"{name}.svg").write_text(content)
    (folder / "report.html").write_text(_page(report, text, pictures))


def _page(report: dict[str, Any], text: str, pictures: dict[str, str]) -> str:
    made = report["made"]
    images = "".join(
        f'<p><img alt="{name.replace("_", " ")}" src="data:image/svg+xml;base64,{encoded}">'
        for name, encoded in ((name, base64.b64encode(svg.encode()).decode()) for name, svg in pictures.items())
    )
    machine = f"{made['processor']}, {made['cores']} cores, {made['system']}, Python {made['python']}, {made['date']}"
    return _PAGE.format(
        title=html.escape(f"Load on {report['target']['url']}{report['target']['route']}"),
        command=html.escape(made["command"]),
        machine=html.escape(machine),
        text="\n".join(map(_block, text.split("\n\n"))),
        images=images,
    )


def _block(text: str) -> str:
    """Return a table as it stands, and sentences so that they fit any window."""
    if "  " in text:
        return f"<pre tabindex=0>{html.escape(text)}</pre>"
    return f"<p>{'<br>'.join(map(html.escape, text.splitlines()))}"


_PAGE = """<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere;
  background: light-dark(#f6f7f9, #0d1117); color: light-dark(#141a21, #e7ebf0) }}
h1 {{ font-size: clamp(1.5rem, 1.1rem + 2vw, 2.25rem); line-height: 1.2 }}
pre {{ overflow-x: auto; padding: .75rem; font-size: .8125rem; background: light-dark(#fff, #151b23);
  border: 1px solid light-dark(#dde2e8, #2a323d); border-radius: .75rem }}
:focus-visible {{ outline: 2px solid light-dark(#0b6e5f, #5fd3bc); outline-offset: 2px }}
img {{ width: 100%; border: 1px solid light-dark(#dde2e8, #2a323d); border-radius: .75rem }}
</style>
<main>
<h1>{title}</h1>
<p><code>{command}</code><br>{machine}</p>
{text}
{images}
<p>A latency counts from when its request was due, in a closed loop from when it was sent.</p>
</main>
</html>
"""
