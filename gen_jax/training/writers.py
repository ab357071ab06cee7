"""What a run leaves and shows: metrics.jsonl, TensorBoard, sample grids, the start table and the progress line."""

import contextlib
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import rich.console
import rich.progress
import rich.table
from PIL import Image
from tensorboardX import SummaryWriter

SHOWN = 8  # figures of an evaluation in its line; all are in metrics.jsonl


class MetricWriter:
    """Appends rows of scalars to DIR/metrics.jsonl and DIR/tensorboard. NaN, 'not computed', is left out.

    A run that goes on from `step` drops the rows after it: they will be written again. Use it in a `with` block."""

    def __init__(self, workdir: Path, step: int = 0):
        self._workdir = workdir
        self._open(step)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self._board.close()

    def _open(self, step: int) -> None:
        path = self._workdir / "metrics.jsonl"
        if path.exists():
            kept = [row for row in read_rows(self._workdir) if row["step"] <= step]
            partial = path.with_suffix(".tmp")
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept))
            partial.replace(path)
        self._file = path.open("a")
        # purge_step hides what an interrupted run had written after the checkpoint.
        self._board = SummaryWriter(str(self._workdir / "tensorboard"), purge_step=step + 1 if step else None)

    def rewind(self, step: int) -> None:
        """Goes on from `step` again, after a roll-back."""
        self.__exit__()
        self._open(step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """One row of numbers."""
        row = {name: float(value) for name, value in values.items() if not math.isnan(value)}
        self._file.write(json.dumps({"step": step} | row) + "\n")
        self._file.flush()
        for name, value in row.items():
            self._board.add_scalar(name, value, step)

    def grid(self, step: int, grid: np.ndarray) -> Path:
        """One picture of samples, uint8 [h, w, 3], to samples/step_00001000.png and TensorBoard. Returns its path."""
        path = self._workdir / "samples" / f"step_{step:08d}.png"
        save_png(path, grid)
        self._board.add_image("samples", grid, step, dataformats="HWC")
        return path


def read_rows(workdir: Path) -> list[dict[str, float]]:
    """The rows of DIR/metrics.jsonl; a last line that was cut off by a kill is left out."""
    rows = []
    path = Path(workdir) / "metrics.jsonl"
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def read_metrics(workdir: Path) -> dict[str, np.ndarray]:
    """metrics.jsonl by column, float64 [rows] each, NaN where a row has no such value: plot(m["step"], m["loss"])."""
    rows = read_rows(workdir)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: np.array([row.get(name, math.nan) for row in rows]) for name in names}


def make_grid(x: np.ndarray, columns: int, cell: int = 48, gap: int = 2) -> np.ndarray:
    """Images uint8 [n, h, w, c] row by row in one picture uint8 [H, W, 3]; of float32 latents the first channels.

    Small images are enlarged by a whole number, without smoothing, to about `cell` pixels, so that they can be seen."""
    n, h, w, c = x.shape
    if x.dtype != np.uint8:  # three standard deviations to either side
        x = np.clip(127.5 + 42.5 * x / max(float(x.std()), 1e-6), 0, 255).astype(np.uint8)
        x, c = (x[..., :3], 3) if c >= 3 else (x[..., :1], 1)
    scale = max(1, round(cell / max(h, w)))
    x = np.repeat(np.repeat(x, scale, axis=1), scale, axis=2)
    x = np.repeat(x, 3, axis=3) if c == 1 else x[..., :3]
    h, w, columns = h * scale, w * scale, min(columns, n)
    rows = -(-n // columns)
    grid = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, 3), 255, np.uint8)
    for i, image in enumerate(x):
        top, left = gap + i // columns * (h + gap), gap + i % columns * (w + gap)
        grid[top : top + h, left : left + w] = image
    return grid


def picture(samples: Mapping[str, np.ndarray], num_classes: int) -> np.ndarray:
    """Samples {"x", "label"} in one picture uint8 [H, W, 3]: images in a grid, points of the plane where they lie."""
    if samples["x"].ndim == 2:
        return scatter(samples["x"])
    return make_grid(*arranged(samples, num_classes))


def scatter(x: np.ndarray, size: int = 384, limit: float = 2.0) -> np.ndarray:
    """Points [n, d] by their first two values (one value: along a line), dark on white, uint8 [size, size, 3].

    The picture spans +-limit, the second axis pointing up, for data of about unit variance; points beyond it are drawn
    at its border, in red. A point is a small square, the darker the more of them."""
    place = np.zeros((len(x), 2))
    place[:, : min(x.shape[1], 2)] = x[:, :2]
    place = np.nan_to_num(place, nan=np.inf, posinf=np.inf, neginf=-np.inf)
    outside = (np.abs(place) > limit).any(axis=1)
    across, up = ((np.clip(place, -limit, limit) / limit + 1) / 2 * (size - 3) + 1).round().astype(int).T
    grid = np.full((size, size, 3), 255.0)
    spots = np.zeros((2, size, size))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            np.add.at(spots, (outside.astype(int), size - 1 - up + down, across + right), 1)
    inside, beyond = 0.6 ** np.minimum(spots, 8)
    grid *= inside[..., None]
    grid[..., 1:] *= beyond[..., None]
    return grid.astype(np.uint8)


def grid_columns(samples: Mapping[str, np.ndarray], num_classes: int) -> int:
    """About a square. Where the samples' labels go round the classes, every class keeps to its own columns."""
    num = len(samples["x"])
    in_turn = "label" in samples and np.array_equal(samples["label"], np.arange(num) % max(num_classes, 1))
    if in_turn and num_classes <= 20:
        return num_classes * max(1, round(math.sqrt(num) / num_classes))
    return math.ceil(math.sqrt(num))


def arranged(samples: Mapping[str, np.ndarray], num_classes: int) -> tuple[np.ndarray, int]:
    """Samples as make_grid takes them: (images [n, h, w, c], columns). Those made from an `image` stand beside it, and
    before the `target` where that is known: image | x | target, image | x | target, ..."""
    x = samples["x"]
    shown = [samples[name] for name in ("image", "x", "target") if name in samples]
    if len(shown) == 1 or x.dtype != np.uint8:
        return x, grid_columns(samples, num_classes)
    channels = 3 if any(part.shape[-1] > 1 for part in shown) else 1
    parts = [_resized(part, x.shape[1:3], channels) for part in shown]
    groups = max(1, round(math.sqrt(len(x) / len(parts))))
    return np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]), groups * len(parts)


def _resized(x: np.ndarray, size: tuple[int, ...], channels: int) -> np.ndarray:
    """Images of another size and number of channels, by their nearest pixels."""
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, x.shape[1:3], strict=True))
    x = x[:, rows][:, :, columns]
    return np.repeat(x, channels, axis=-1) if x.shape[-1] == 1 else x[..., :channels]


def save_png(path: Path, grid: np.ndarray) -> None:
    """Writes uint8 [h, w, 3] as PNG; a file that is there is replaced only by a whole one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.tmp")
    Image.fromarray(grid).save(partial, format="png")
    partial.replace(path)


class Progress:
    """The progress of a run: a bar on a terminal, one line per report elsewhere. Use it in a `with` block."""

    def __init__(self, console: rich.console.Console, steps: int, start: int):
        self._console, self._steps = console, steps
        self._last, self._since = start, time.perf_counter()
        self._rate = 0.0
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("step {task.completed}/{task.total}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=steps, completed=start)

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *_):
        self._bar.stop()

    def rate(self, step: int, batch_size: int) -> float:
        """Images per second since the last call."""
        now = time.perf_counter()
        self._rate = max(step - self._last, 0) * batch_size / (now - self._since)
        self._left = duration((self._steps - step) * batch_size / self._rate) if self._rate else "?"
        self._last, self._since = step, now
        return self._rate

    def show(self, step: int, metrics: Mapping[str, float]) -> None:
        """The losses, the rate and the time left."""
        losses = [f"{k} {v:.4g}" for k, v in metrics.items() if k.split("/")[-1] == "loss"]
        text = "  ".join([*losses, f"{self._rate:,.0f} images/s", f"{self._left} left"])
        if self._console.is_terminal:
            self._bar.update(self._task, completed=step, description=text)
        else:
            self._console.print(f"step {step}/{self._steps}  {text}", markup=False)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Does not count the time of the block in images per second, which are training's."""
        start = time.perf_counter()
        yield
        self._since += time.perf_counter() - start

    def evaluated(self, step: int, figures: Mapping[str, float], seconds: float, best: bool) -> None:
        """A line of the step's main figures and of what they cost. best: they are of the best checkpoint so far."""
        main = [f"{name} {value:.4g}" for name, value in figures.items() if "/" not in name][:SHOWN]
        cost = f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
        text = f"step {step}/{self._steps}  {'  '.join(main)}  evaluated in {cost}"
        self._console.print(text + ("  (the best so far)" if best else ""), markup=False)


def make_console() -> rich.console.Console:
    """Where people are told things. What is no terminal gets plain lines of any length, a notebook too."""
    return rich.console.Console(file=sys.stdout, highlight=False, soft_wrap=True, force_jupyter=False)


def start_table(console: rich.console.Console, rows: Mapping[str, str], title: str = "gen_jax") -> None:
    """The facts of a run before it starts, say: a table on a terminal, `name: value` lines elsewhere."""
    if not console.is_terminal:
        for name, value in rows.items():
            console.print(f"{name}: {value}", markup=False)
        return
    table = rich.table.Table(show_header=False, title=title)
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 20 s, 2 h 05 min."""
    s = round(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"


def quantity(value: float, unit: str) -> str:
    """A number with its prefix: 1.23 GFLOP, 45 MB."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}".rstrip()
