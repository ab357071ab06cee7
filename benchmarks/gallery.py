"""Trains the default variant of every config, evaluates all by the same metrics, and writes tables of them: all into
docs/gallery.md, a choice into the README.

    python benchmarks/gallery.py [--configs=configs/quickstart.py,configs/gan/vanilla.py] [--num=1000]
        [--runs=runs/gallery] [--out=FILE.json] [--readme=README.md] [--page=docs/gallery.md]
        [--pictures=docs/gallery]

Training is timed as benchmarks/quickstart.py times it: the command in a process of its own, from its start to its end,
with an empty compilation cache. The figures are gen_jax.evaluate's, with their receipts; a column of the table holds
figures of equal receipts only. Each row says on what it was trained and how long that took.

What is done is kept after every config: the same command again goes on where it was stopped, and runs what is missing
or whose config has changed. A config that fails is named at the end, and the others are run.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import quickstart
import report
from absl import flags

import gen_jax.evaluate
import gen_jax.sample
from gen_jax import cli
from gen_jax.errors import UserError
from gen_jax.report import figures
from gen_jax.report.markdown import table_lines
from gen_jax.report.runs import Entry, read_entry
from gen_jax.report.table import LOW, Cell, Column, Row, Table
from gen_jax.tasks.conditions import conditions
from gen_jax.training.restore import open_run
from gen_jax.training.state import count_params
from gen_jax.training.writers import arranged, make_grid, save_png

CONFIGS = Path("configs")
BEGIN, END = "<!-- gallery -->", "<!-- /gallery -->"
SHOWN = (
    *("fid", "kid", "precision", "recall", "coverage", "agreement", "modes", "classes_read", "translation_error"),
    *("psnr", "ssim"),
)
"""The figures that the tables show; all are in the JSON."""
CHOICE = (
    *("quickstart", "quickstart_gan", "quickstart_vae"),
    *("gan/dcgan", "gan/biggan", "gan/stylegan2", "gan/r3gan"),
    *("vae/vae", "vae/hierarchical", "diffusion/ddpm", "diffusion/edm2", "diffusion/flow_matching"),
    *("diffusion/meanflow", "hybrid/vae_gan", "hybrid/latent_dit", "hybrid/maskgit", "hybrid/ddgan"),
)
"""The configs of the README's table."""
COLUMNS = 10  # of a picture


def run(
    specs: Sequence[str],
    *,
    num: int = 1000,
    runs: str | Path = "runs/gallery",
    out: str | Path = report.RESULTS / "gallery.json",
    readme: str | Path = "README.md",
    page: str | Path = "docs/gallery.md",
    pictures: str | Path = "docs/gallery",
) -> dict[str, Any]:
    """Trains and evaluates what is missing of the configs, and writes `out`, the pictures and the tables.

    num: samples that are evaluated; of reconstructions, those of the whole test split are. `page` has a row for every
      config of `out`, asked for now or earlier, and the README for those of CHOICE.

    Raises:
      UserError: the README has no place for the table, or configs failed (after the others were run).
    """
    _split(readme)  # before hours of training
    result = json.loads(Path(out).read_text()) if Path(out).exists() else {"benchmark": "gallery", "configs": {}}
    failed = []
    for spec in specs:
        name, config = _name(spec), report.load_config(spec)
        picture = Path(pictures) / f"{name.replace('/', '-')}.png"
        digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode()).hexdigest()
        before = result["configs"].get(name, {})
        if (before.get("digest"), before.get("num")) == (digest, num) and picture.exists():
            print(f"{name}: done before")
            continue
        try:
            row = _measure(spec, config, Path(runs), num, picture)
        except UserError as error:
            print(f"{name}: {error}")
            failed.append(name)
            continue
        result["configs"][name] = row | {"digest": digest, "num": num, "picture": str(picture)}
        report.write(out, result)
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    Path(page).write_text(f"# Every recipe, measured\n\n{_tables(result['configs'], Path(page).parent)}\n")
    chosen = {name: row for name, row in result["configs"].items() if name in CHOICE}
    before, after = _split(readme)
    Path(readme).write_text(f"{before}{BEGIN}\n{_tables(chosen, Path(readme).parent)}\n{END}{after}")
    print(f"written: {out}, {readme}, {page}, {pictures}/")
    if failed:
        raise UserError(f"{len(failed)} of {len(specs)} configs failed: {', '.join(failed)}; what they said is above")
    return result


def all_configs() -> list[str]:
    """Every file in configs/, but toys.py: its points of the plane have figures of their own (benchmarks/toys.py)."""
    return [str(path) for path in sorted(CONFIGS.rglob("*.py")) if path.stem != "toys"]


def _by_data(configs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Mapping[str, Any]]]:
    """The rows in groups that were measured against the same data, the largest first: figures of others don't compare,
    nor do those of reconstructions with those of samples."""
    groups: dict[Any, dict[str, Mapping[str, Any]]] = {}
    for name, row in sorted(configs.items()):
        receipts = [f["receipt"] for f in row["evaluation"]["figures"].values()]
        data = next((r.get("data", {}).get("hash") for r in receipts if r.get("metric") == "fid"), None)
        groups.setdefault((data, "psnr" in row["evaluation"]["figures"]), {})[name] = row
    return sorted(groups.values(), key=len, reverse=True)


def _tables(configs: Mapping[str, Mapping[str, Any]], folder: Path) -> str:
    """Tables of the rows, one for each kind of data, in Markdown for a page in `folder`."""
    tables = [make_table(rows, folder) for rows in _by_data(configs)]
    return "\n\n".join("\n".join(table_lines(table, table.title)).strip() for table in tables)


def make_table(configs: Mapping[str, Mapping[str, Any]], folder: Path) -> Table:
    """One row per config; links and pictures are found from `folder`."""
    entries = [Entry(name, Path(name), {}, {}, [row["evaluation"]], {}) for name, row in configs.items()]
    chosen = [c for c in (figures.choose(entries) if entries else []) if figures.split(c.name)[0] in SHOWN]
    columns = [
        Column("picture", "samples"),
        Column("parameters", "parameters", "#"),
        *(Column(c.name, c.kind.label, "", c.kind.better) for c in chosen),
        Column("seconds", "training", "s", LOW),
        Column("hardware", "on"),
    ]
    rows = []
    for entry in entries:
        row = configs[entry.name]
        picture = os.path.relpath(row["picture"], folder)
        cells = figures.cells(chosen, entry) | {
            "picture": Cell(f'<img src="{picture}" width="150" alt="samples of {entry.name}">'),
            "parameters": Cell(row["parameters"]),
            "seconds": Cell(row["seconds"]["train"], reason="not timed"),
            "hardware": Cell(_hardware(row["hardware"], row["date"])),
        }
        rows.append(Row(f"[{entry.name}]({os.path.relpath(row['config'], folder)})", cells))
    basis = {r["samples"]["count"]: None for c in chosen for _, r in c.by_run.values()}
    notes = (
        [f"Of {', '.join(f'{n:,}' for n in basis)} samples of each. Made by `python benchmarks/gallery.py`."]
        if rows
        else []
    )
    return Table(
        "gallery", "Gallery", columns, rows, [*notes, *(c.refused for c in chosen if c.refused)], heads=("config", "")
    )


def _measure(spec: str, config: Any, runs: Path, num: int, picture: Path) -> dict[str, Any]:
    workdir = runs / _name(spec)
    row = report.header("gallery") | {"config": spec}
    stage = report.first_stage(spec)
    seconds = quickstart.train_run(spec, config, workdir, runs / _name(stage[1]) if stage else None)
    timed = workdir / "train_seconds.json"  # so that a run whose evaluation was interrupted keeps its time
    if seconds is not None:
        report.write(timed, {"seconds": seconds, "hardware": row["hardware"], "date": row["date"]})
    if timed.exists():
        kept = json.loads(timed.read_text())
        seconds, row = kept["seconds"], row | {"hardware": kept["hardware"], "date": kept["date"]}
    opened = open_run(workdir)
    originals = conditions(opened.setup.family, opened.info, opened.config["data"]).originals
    gen_jax.evaluate.run(workdir, num=None if originals else num)  # each reconstruction is compared with its original
    entry = read_entry(workdir, workdir.name)
    _draw(workdir, opened.info.num_classes, picture)
    rate = entry.metrics.get("images_per_second", np.zeros(0))
    return row | {
        "steps": opened.step,
        "parameters": count_params(opened.setup.shapes.params),
        "seconds": {"train": seconds},
        "images_per_second": float(np.nanmedian(rate)) if np.isfinite(rate).any() else None,
        "evaluation": dict(entry.evaluations[-1]),
    }


def _draw(workdir: Path, num_classes: int, picture: Path) -> None:
    """Four rows of samples; of few classes every one keeps to a column."""
    columns = num_classes * max(1, COLUMNS // num_classes) if 0 < num_classes <= COLUMNS else COLUMNS
    samples = gen_jax.sample.run(workdir, num=4 * columns)
    x, columns = arranged(samples, num_classes) if "image" in samples else (samples["x"], columns)
    save_png(picture, make_grid(x, columns, cell=32))


def _name(spec: str) -> str:
    """configs/gan/vanilla.py is gan/vanilla; with a variant, gan/vanilla-mnist."""
    path, _, variant = spec.partition(":")
    inside = Path(path).with_suffix("")
    inside = inside.relative_to(CONFIGS) if inside.is_relative_to(CONFIGS) else Path(inside.name)
    return f"{inside}-{variant}" if variant else str(inside)


def _split(readme: str | Path) -> tuple[str, str]:
    """What is before and after the table."""
    text = Path(readme).read_text() if Path(readme).exists() else ""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{readme} has no place for the table: a line {BEGIN} and, below it, a line {END}")
    return before, after


def _hardware(hardware: Mapping[str, Any], date: str) -> str:
    """Where a row was trained and when, in a few words."""
    if hardware["platform"] == "cpu":
        return f"{hardware['cores']} cores of {hardware['cpu']}, {date[:10]}"
    return f"{hardware['devices']} x {hardware['device_kind']}, {date[:10]}"


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    specs = given.configs or all_configs()
    places = {name: getattr(given, name) for name in ("runs", "out", "readme", "page", "pictures")}
    run(specs, num=given.num, **places)


if __name__ == "__main__":
    flags.DEFINE_list("configs", None, "The recipes: FILE.py or FILE.py:variant; default: all in configs/.")
    flags.DEFINE_integer("num", 1000, "How many samples are evaluated.")
    flags.DEFINE_string("runs", "runs/gallery", "Where the runs are kept.")
    flags.DEFINE_string("out", str(report.RESULTS / "gallery.json"), "Where the result is kept.")
    flags.DEFINE_string("readme", "README.md", "The file with the table of a choice.")
    flags.DEFINE_string("page", "docs/gallery.md", "The file with the tables of all.")
    flags.DEFINE_string("pictures", "docs/gallery", "Where the pictures are put.")
    cli.run(main)
