"""The memory of workers over the reloads as a picture: lines of SVG, the same for the same figures."""

from collections.abc import Mapping, Sequence

from bench.dark import follow_theme

_WIDTH, _HEIGHT = 900, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 20, 40, 50
_LEGEND = 80
_COLORS = ("#1f5fa8", "#c2571a", "#3d8b56", "#8a5fb0")

_FRAME = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"
     font-size="13">
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="{left}" y="24" font-size="15">resident memory of every worker, MiB</text>
{lines}
<text x="{middle}" y="{foot}" text-anchor="middle">reloads</text>
</svg>
"""


def draw_memory(memory: Mapping[str, Sequence[float]], every: int) -> str:
    """Return an SVG with a line a worker, from 0 on.

    Parameters
    ----------
    memory : mapping
        MiB by worker, one sample after another.
    every : int
        Reloads from one sample to the next.
    """
    most = max(max(samples) for samples in memory.values())
    step = _round_step(most)
    top = step * (int(most / step) + 1)
    last = every * (max(len(samples) for samples in memory.values()) - 1) or 1

    def x(reloads: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * reloads / last

    def y(mebibytes: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * mebibytes / top

    lines = []
    for mark in range(0, top + 1, step):
        lines.append(f'<path d="M{_LEFT} {y(mark):.1f}H{_WIDTH - _RIGHT}" stroke="#b0b0b0" stroke-opacity="0.4"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark}</text>')
    for mark in range(0, last + 1, _round_step(last)):
        lines.append(f'<text x="{x(mark):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{mark}</text>')
    for number, (worker, samples) in enumerate(memory.items()):
        color = _COLORS[number % len(_COLORS)]
        points = " ".join(f"{x(every * place):.1f},{y(value):.1f}" for place, value in enumerate(samples))
        lines.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        lines.append(
            f'<text x="{_WIDTH - _RIGHT - _LEGEND * number}" y="24" text-anchor="end" fill="{color}">'
            f"worker {worker}</text>"
        )
    drawn = _FRAME.format(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        lines="\n".join(lines),
        middle=(_LEFT + _WIDTH - _RIGHT) // 2,
        foot=_HEIGHT - 10,
    )
    return follow_theme(drawn)


def _round_step(most: float) -> int:
    """Return a round number of which at most six reach as far."""
    steps: list[int] = [digit * 10**exponent for exponent in range(10) for digit in (1, 2, 5)]
    return next(step for step in steps if most / step <= 6)
