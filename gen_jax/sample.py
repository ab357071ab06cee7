"""Draws from a trained run: python -m gen_jax.sample --workdir=DIR --num=64 --out=grid.png|samples.npz|folder/

Other tasks walk through the latent space of a GAN or VAE: --task=interpolate|mix|project|directions|truncation; or
show what a VAE or an autoencoder makes of images: reconstruct|interpolate|traverse|arithmetic. They take
--options='{"frames": 10}' (gen_jax/tasks). What moves can be written as a film, --out=walk.gif or .webp.

The parameters are those of the newest whole checkpoint, averaged (EMA) where the run averages them. Sample i depends
on (--seed, i) and its label alone. An .npz has x (uint8 [n, h, w, c]) and, where there is one, label [n]; a folder has
one PNG per sample, in a sub-folder per class where there are labels.

A model that makes images of images takes those of --source=FOLDER|FILE.npz, by default those of its data's test split
in order: sample i is made from image i. A grid shows image | sample, and beside them the right answer where the data
have it; an .npz has image and target too. A model that translates both ways goes the other one with --family:

    python -m gen_jax.sample --workdir=DIR --family='{"direction": "BA"}' --out=grid.png
"""

import dataclasses
import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

import gen_jax.diffusion
import gen_jax.tasks
from gen_jax import cli
from gen_jax.build import build, names
from gen_jax.errors import UserError, unknown
from gen_jax.tasks.conditions import conditions, of_files
from gen_jax.tasks.generation import make_generate
from gen_jax.tasks.latent import Sheet
from gen_jax.training import parallel
from gen_jax.training.outputs import check_out, write_samples, write_sheet
from gen_jax.training.restore import Run, open_run
from gen_jax.training.setup import set_up
from gen_jax.types import DataInfo, Family, settings, with_settings


def run(
    workdir: str | Path,
    num: int | None = None,
    *,
    label: int | str | None = None,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    guidance: float | None = None,
    family: Mapping[str, Any] | None = None,
    ema: float | None = None,
    checkpoint: int | str | None = None,
    batch_size: int | None = None,
    source: str | Path | None = None,
    task: str | None = None,
    options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> dict[str, np.ndarray]:
    """Draws `num` samples from the run in `workdir`, and writes them to `out` where it is given.

    Args:
      num: how many; None: 64, or one for each image of `source`.
      label: the class of all of them, by name or number; None takes all classes in turn.
      seed: sample i depends on (seed, i) and its label alone.
      steps: of the sampler; None: the config's, as for the next two. sampler: by name, such as "DDIM".
      guidance: the scale of classifier-free guidance.
      family: any fields of the config's family, to be changed for these samples: {"sampler": {"name":
        "diffusion.EDMStochastic", "gamma": 0.3}}. A spec with a name replaces the whole one, another dict is merged.
      ema: the relative width of the average of the parameters, made of the run's snapshots (training/ema.py).
      checkpoint: the step of the checkpoint to take, or "best" (where config.evals keeps one); None: the newest.
      batch_size: how many are drawn at once; None: the config's sample.batch_size.
      source: what a model that is conditional on images is given (tasks/conditions.py): a folder or an .npz; None: the
        test split of its data. Where there are fewer than `num`, they are gone through again, with other noise.
      task: None, or the name of a task of gen_jax/tasks, such as "interpolate"; `num` then counts its rows. options:
        the task's own.
      out: a .png (one grid), an .npz, a folder, or for a film of a task a .gif or .webp. overwrite: whether it may be
        there already.

    Returns:
      {"x": uint8 [num, h, w, c], "label": int32 [num] (conditional models only)}, and of models that are conditional
      on more than that, what they were given, and "target", what should have come of it, where the data have it. Of a
      task its sheet, row by row, and its further arrays.

    Raises:
      UserError: no run or no whole checkpoint in `workdir`, or an argument that this model cannot serve.
    """
    check_numbers(num=num, seed=seed, steps=steps, guidance=guidance, batch_size=batch_size)
    make = _task(task, options)
    target = check_out(out, overwrite, film=make is not None)
    trained = open_model(
        workdir, steps=steps, sampler=sampler, guidance=guidance, family=family, ema=ema, checkpoint=checkpoint
    )
    model, info = trained.setup.family, trained.info
    if info.dtype != "uint8" and target is not None and not target.suffix:
        raise UserError(f"--out={out}: the samples are {info.dtype} and no pictures; write them to an .npz")
    if batch_size:
        trained.config["sample"]["batch_size"] = batch_size
    chosen = None if label is None else _class(label, model, info)
    if make is not None:
        sheet = make(trained, num or 64, seed, chosen)
        if target is not None:
            write_sheet(target, sheet.x, sheet.columns, sheet.arrays, film=sheet.film)
        return {"x": sheet.x, **sheet.arrays}
    given = conditions(model, info, trained.config["data"]) if source is None else of_files(str(source), model, info)
    num = num or (None if source is None else given.count) or 64
    labels = None if chosen is None else [chosen] * num
    size = trained.config["sample"]["batch_size"]
    generate = make_generate(model, info, size, parallel.split_batch(trained.mesh), given)
    samples = generate(trained.state, num, seed, labels)
    if target is not None:
        write_samples(target, samples, info)
    return samples


def open_model(
    workdir: str | Path,
    *,
    steps: int | None = None,
    sampler: str | None = None,
    guidance: float | None = None,
    family: Mapping[str, Any] | None = None,
    ema: float | None = None,
    checkpoint: int | str | None = None,
) -> Run:
    """The run in `workdir`, its family and its parameters changed as the arguments of `run` say.

    Raises:
      UserError: no run or no whole checkpoint in `workdir`, or an argument that this model cannot serve.
    """
    parallel.use_compilation_cache()
    trained = open_run(workdir, checkpoint)
    if family is not None:
        trained = _turned(trained, family)
    setup, state = trained.setup, trained.state
    if family is not None:
        setup = set_up(trained.config | {"family": _merge(trained.config["family"], family)}, trained.info)
        state = setup.attach(state, parallel.replicated(trained.mesh))
    model = _override(setup.family, steps=steps, sampler=sampler, guidance=guidance)
    if ema is not None:
        state = state.replace(ema={**state.ema, **trained.post_hoc(ema)})
    return dataclasses.replace(trained, setup=dataclasses.replace(setup, family=model), state=state)


def check_numbers(
    num: int | None, seed: int, steps: int | None, guidance: float | None, batch_size: int | None
) -> None:
    """Raises UserError where a flag's number is out of range."""
    for name, value in (("num", num), ("steps", steps), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise UserError(f"--{name}={value}: it must be at least 1")
    if not 0 <= seed < 2**31:
        raise UserError(f"--seed={seed}: it must be 0 to {2**31 - 1}")
    if guidance is not None and not math.isfinite(guidance):
        raise UserError(f"--guidance={guidance}: it must be a finite number")


def parse_json(flag: str, text: str | None) -> dict[str, Any] | None:
    """The value of --family or --options: fields as JSON.

    Raises:
      UserError: it is not JSON, or no fields.
    """
    if text is None:
        return None
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--{flag}={text} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise UserError(f"--{flag}={text}: fields as JSON, such as '{{\"steps\": 20}}'")
    return fields


def _merge(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The spec with the changes: dicts are merged, and those that have a name replace what was there."""
    merged = dict(spec)
    for key, value in changes.items():
        old = merged.get(key)
        into = isinstance(value, Mapping) and isinstance(old, Mapping) and "name" not in value
        merged[key] = _merge(old, value) if into else value  # type: ignore[arg-type]
    return merged


def _turned(trained: Run, family: Mapping[str, Any]) -> Run:
    """The run with its data the other way round (what was `image` is x), where the family is to go the other way."""
    before = trained.config["family"].get("direction")
    if before is None or family.get("direction", before) == before or "image" not in trained.info.conditions:
        return trained
    data = {**trained.config["data"], "direction": trained.config["data"].get("direction", "AB")[::-1]}
    shape, dtype = trained.info.conditions["image"]
    turned = {**trained.info.conditions, "image": (trained.info.shape, trained.info.dtype)}
    info = dataclasses.replace(trained.info, shape=shape, dtype=dtype, conditions=turned)
    return dataclasses.replace(trained, config={**trained.config, "data": data}, info=info)


def _override(family: Family, steps: int | None, sampler: str | None, guidance: float | None) -> Family:
    """The family with another sampler, number of steps or guidance scale."""
    changes: dict[str, Any] = {}
    known = settings(family)
    for name, value in (("steps", steps), ("sampler", sampler), ("guidance", guidance)):
        if value is not None and name not in known:
            raise UserError(f"--{name}={value}: a {type(family).__name__} has no {name}")
    if steps is not None:
        changes["steps"] = steps
    if sampler is not None:
        classes = {n: c for n, c in names(gen_jax.diffusion).items() if dataclasses.is_dataclass(c)}
        samplers = [n for n, c in classes.items() if hasattr(c, "step") or hasattr(c, "run")]
        if sampler not in samplers:
            raise unknown("sampler", sampler, samplers)
        changes["sampler"] = build(gen_jax.diffusion, {"name": sampler})
    if guidance is not None:
        if not family.cond_keys:
            raise UserError(f"--guidance={guidance}: this model is unconditional; leave --guidance out")
        scale = {"name": "classifier_free", "scale": guidance}
        of_tokens = isinstance(known["guidance"], float)  # they have no other guidance
        changes["guidance"] = guidance if of_tokens else {"cfg": build(gen_jax.diffusion, scale)}
    return with_settings(family, **changes) if changes else family


def _class(label: int | str, family: Family, info: DataInfo) -> int:
    """The number of a class given by name or number."""
    if "label" not in family.cond_keys:
        raise UserError(f"--label={label}: this model is unconditional; leave --label out")
    if str(label) in info.class_names:
        return info.class_names.index(str(label))
    if str(label).isdigit() and int(label) < info.num_classes:
        return int(label)
    shown = ", ".join(info.class_names[:20]) + (", ..." if info.num_classes > 20 else "")
    raise UserError(f"--label={label}: it is 0 to {info.num_classes - 1}, or one of the names {shown}")


def tasks() -> dict[str, Callable[..., Sheet]]:
    """Every task by name: the functions of gen_jax.tasks from (run, num, seed, label, ...) to a Sheet."""
    first = ("run", "num", "seed", "label")
    return {n: f for n, f in names(gen_jax.tasks).items() if tuple(inspect.signature(f).parameters)[:4] == first}


def _task(name: str | None, options: Mapping[str, Any] | None) -> Callable[..., Sheet] | None:
    """The task with its options bound; None: plain samples."""
    if name is None:
        if options:
            raise UserError(f"--options={json.dumps(dict(options))}: they are a task's; give --task too")
        return None
    known = tasks()
    if name not in known:
        raise unknown("task", name, known)
    own = list(inspect.signature(known[name]).parameters)[4:]
    for option in options or {}:
        if option not in own:
            raise unknown(f"option of {name}", option, own)
    return functools.partial(known[name], **(options or {}))


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    for name in ("workdir", "out"):
        if getattr(given, name) is None:
            raise UserError(f"--{name} is needed: python -m gen_jax.sample --workdir=DIR --num=64 --out=grid.png")
    names = ["num", "label", "seed", "steps", "sampler", "guidance", "ema", "checkpoint", "batch_size", "task"]
    names += ["source", "out", "overwrite"]
    family, options = parse_json("family", given.family), parse_json("options", given.options)
    samples = run(given.workdir, family=family, options=options, **{name: getattr(given, name) for name in names})
    print(f"{len(samples['x'])} samples: {given.out}")


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "The folder of a run of gen_jax.main.")
    flags.DEFINE_integer("num", None, "How many samples; default: 64, or one for each image of --source.")
    flags.DEFINE_string("label", None, "The class of all samples, by name or number; default: all in turn.")
    flags.DEFINE_integer("seed", 0, "Sample i depends on (seed, i) and its label alone.")
    flags.DEFINE_integer("steps", None, "Steps of the sampler; default: the config's.")
    flags.DEFINE_string("sampler", None, "The sampler, such as Heun or DDIM; default: the config's.")
    flags.DEFINE_float("guidance", None, "Scale of classifier-free guidance; default: the config's.")
    flags.DEFINE_string("family", None, """Other fields of the family, as JSON: '{"clip": 1.0}'.""")
    flags.DEFINE_string("task", None, f"One of {', '.join(sorted(tasks()))}; default: plain samples.")
    flags.DEFINE_string("options", None, """The task's options, as JSON: '{"frames": 10}'.""")
    flags.DEFINE_float("ema", None, "Relative width of the average of the parameters, for runs with post-hoc averages.")
    flags.DEFINE_string("checkpoint", None, "The step of the checkpoint to take, or best; default: the newest.")
    flags.DEFINE_integer("batch_size", None, "How many are drawn at once; default: the config's sample.batch_size.")
    flags.DEFINE_string("source", None, "Images to make samples of: a folder, an archive or an .npz.")
    flags.DEFINE_string("out", None, "Where to write: grid.png, samples.npz, folder/, or film.gif of a task.")
    flags.DEFINE_boolean("overwrite", False, "Whether --out may be there already.")
    cli.run(main)
