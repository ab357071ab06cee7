"""The report's charts, as SVG text. Each has its numbers in a table of the same report.

Colours are Okabe & Ito's (2008), which the colour-blind tell apart; lines differ in their dashes and markers too, for
print without colour.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":")
MARKERS = "osD^vPX"
STYLE: Any = {
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",  # looks the same whatever fonts the reader has
    "svg.hashsalt": "gen_jax",  # the same chart is the same text
    "axes.formatter.limits": (-4, 5),
}

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]


def curves(title: str, losses: Curves, norms: Curves) -> str:
    """Loss and gradient norm over the steps of training, by player: (steps [n], values [n]) each."""
    figure, (left, right) = _subplots(2, width=7.4, height=2.1)
    for axis, lines, label in ((left, losses, "loss"), (right, norms, "gradient norm")):
        for i, (player, (steps, values)) in enumerate(lines.items()):
            axis.plot(steps, values, DASHES[i % 4], color=COLORS[i % 7], label=player)
        axis.set(xlabel="training step", ylabel=label, xlim=(0, None))
        if len(lines) > 1:
            axis.legend(loc="best", handlelength=2.4)
    if any((values > 0).any() for _, values in norms.values()):
        right.set_yscale("log")
    left.set_title(title)
    return _svg(figure)


def trade(rows: Mapping[str, Sequence[Mapping[str, Any]]], label: str) -> str:
    """Quality over the time of an image, by run: rows of steps, seconds_per_image and quality. Both axes are log."""
    figure, (axis,) = _subplots(1, width=7.4, height=3.2)
    for i, (name, points) in enumerate(rows.items()):
        x = [1e3 * p["seconds_per_image"] for p in points]
        y = [p["quality"] for p in points]
        axis.plot(x, y, f"{MARKERS[i % 7]}{DASHES[i % 4]}", color=COLORS[i % 7], label=name)
        for point, at in zip(points, zip(x, y, strict=True), strict=True):
            if point["steps"]:
                axis.annotate(f"{point['steps']:.0f}", at, (4, 4), textcoords="offset points", fontsize=7.5)
    axis.set(xscale="log", yscale="log", xlabel="time of an image (ms)", ylabel=f"{label} (less is better)")
    for direction in (axis.xaxis, axis.yaxis):
        direction.set_major_formatter(_plain())
        direction.set_minor_formatter(_plain(sparse=True))
    axis.legend(loc="best", title="numbers at the points: sampler steps", title_fontsize=7.5, alignment="left")
    return _svg(figure)


def _subplots(count: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot: a notebook's backend and style stay as they are

    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(1, count, squeeze=False)[0]


def _svg(figure: Any) -> str:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    with rc_context(STYLE):
        FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]  # without the XML declaration and the document type


def _plain(sparse: bool = False) -> Any:
    """Ticks as 0.5 and 20, not as powers of ten; sparse: between the powers only 2 and 5."""
    from matplotlib.ticker import FuncFormatter

    def show(value: float, _: int) -> str:
        if value <= 0 or (sparse and f"{value:.0e}"[0] not in "25"):
            return ""
        return f"{value:,.10f}".rstrip("0").rstrip(".") if value < 1e4 else f"{value:,.0f}"

    return FuncFormatter(show)
