"""The report's charts, as SVG text. Each has its numbers in a table of the same report.

Colours are Okabe & Ito's (2008), which the colour-blind tell apart; lines differ in their dashes and markers too, for
print without colour.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
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


def _styled(draw: Callable[..., Any]) -> Callable[..., str]:
    """The chart that `draw` makes, in this module's style, as SVG."""

    @functools.wraps(draw)
    def drawn(*args: Any) -> str:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return _svg(draw(*args))

    return drawn


@_styled
def curves(title: str, losses: Curves, norms: Curves) -> Any:
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
        _plain_ticks(right.yaxis)
    left.set_title(title)
    return figure


@_styled
def trade(rows: Mapping[str, Sequence[Mapping[str, Any]]], label: str) -> Any:
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
        _plain_ticks(direction)
    axis.legend(loc="best", title="numbers at the points: sampler steps", title_fontsize=7.5, alignment="left")
    return figure


def _subplots(count: int, width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # not pyplot: a notebook's backend and style stay as they are

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _svg(figure: Any) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    out = io.StringIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]  # without the XML declaration and the document type


def _plain_ticks(axis: Any) -> None:
    axis.set_major_formatter(_plain())
    axis.set_minor_formatter(_plain(sparse=True))


def _plain(sparse: bool = False) -> Any:
    """Ticks as 0.5 and 20, not as powers of ten; sparse: between the powers only 2 and 5."""
    from matplotlib.ticker import FuncFormatter

    def show(value: float, _: int) -> str:
        if value <= 0 or (sparse and f"{value:.0e}"[0] not in "25"):
            return ""
        return f"{value:,.10f}".rstrip("0").rstrip(".") if value < 1e4 else f"{value:,.0f}"

    return FuncFormatter(show)
