"""The picture of a walk-forward evaluation: each fold beside the baseline, and what each strategy would have earned."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from training.walk_forward import BUY_AND_HOLD, MODEL, WalkForward

_COLORS = {MODEL: "#1f5fa8", "persistence": "#8fb4dc", BUY_AND_HOLD: "#c2571a"}


def draw_walk_forward(found: WalkForward, path: Path) -> None:
    """Draw gain by fold with intervals, and the value of each account, as a PNG file."""
    figure = Figure(figsize=(7.2, 7.2), dpi=120, layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
    FigureCanvasAgg(figure)
    gains, values = figure.subplots(2, 1, height_ratios=(2, 3))
    baseline = found.baseline
    numbers = np.arange(len(found.steps))
    intervals = [found.gain(baseline, found.fold == number) for number in numbers]
    estimates = np.array([interval.estimate for interval in intervals])
    bounds = np.array([[interval.low, interval.high] for interval in intervals]).T
    gains.errorbar(
        numbers + 1,
        estimates,
        yerr=np.abs(bounds - estimates),
        color=_COLORS[MODEL],
        marker="o",
        capsize=4,
        linestyle="",
    )
    gains.axhline(0, color=_COLORS[BUY_AND_HOLD], linestyle="--", linewidth=1)
    gains.set(
        xlabel="fold",
        ylabel="gain in log loss, nats",
        title=f"Gain over {baseline.replace('_', ' ')} on unseen rows, 95 % intervals (above 0: better)",
        xticks=numbers + 1,
    )
    for name, account in found.accounts().items():
        width = 2 if name == MODEL else 1.2
        label = f"{name.replace('_', ' ')}, {account.value[-1] - 1:+.0%}"
        values.plot(account.dates, account.value, color=_COLORS[name], linewidth=width, label=label)
    values.set(ylabel="value of 1", title=f"Long or out of the market, {found.plan.cost:g} basis points a trade")
    values.legend(loc="upper left", facecolor="white", edgecolor="none", framealpha=0.9)
    for axes in (gains, values):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
    figure.savefig(path)
