"""Training, readable from top to bottom: check, resume, compile, loop."""

import contextlib
import dataclasses
import functools
import logging
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.data.load import batches, load, take_batches
from gen_jax.data.transforms import prepare
from gen_jax.errors import UserError
from gen_jax.evals.during import Evaluator, make_evaluator
from gen_jax.evals.receipts import describe_family
from gen_jax.evals.run import Samples
from gen_jax.tasks.conditions import conditions
from gen_jax.tasks.generation import Generate, Stream, collected, make_stream
from gen_jax.tasks.latent_cache import cache_latents
from gen_jax.training import parallel, writers
from gen_jax.training.alarm import Trouble, Watch
from gen_jax.training.best import Best
from gen_jax.training.checkpoint import Checkpoints, abstract_like
from gen_jax.training.cost import CostRecord, step_plan
from gen_jax.training.ema import snapshot_interval
from gen_jax.training.restore import Run
from gen_jax.training.setup import Setup, check_config, set_up, steps_per_call
from gen_jax.training.state import count_params, watched
from gen_jax.training.step import make_train_step, scan_steps
from gen_jax.training.workdir import claim, describe
from gen_jax.types import Config, DataInfo, Source, TrainState

log = logging.getLogger("gen_jax")


def train(config: Config, workdir: str | Path) -> tuple[TrainState, dict[str, np.ndarray]]:
    """Trains `config` in `workdir` to its last step, going on from the newest whole checkpoint there.

    Returns:
      The final state, and metrics.jsonl by column: {"step": [rows], "loss": [rows], ...}.

    Raises:
      UserError: for whatever is wrong with the config, the data or the folder, before anything compiles; and when
        more than train.max_skipped updates were not finite, and again after one roll-back.
    """
    workdir, settings, started = Path(workdir), config.train, time.perf_counter()
    console = writers.make_console()
    parallel.use_compilation_cache()

    # 1. What can be wrong is found here, before anything compiles.
    check_config(config.to_dict())
    mesh = parallel.make_mesh(config.parallel.data)
    parallel.check_batch_size(settings.batch_size, mesh)
    source = load(config.data.to_dict())
    setup = set_up(config.to_dict(), source.info)
    if hasattr(setup.family, "check_batch"):
        setup.family.check_batch(settings.batch_size)
    seen = source
    if folder := settings.get("latent_cache"):
        extra = setup.load_pretrained(parallel.replicated(mesh))
        seen, family = cache_latents(folder, source, setup.family, extra, settings.batch_size, settings.flip)
        setup = dataclasses.replace(setup, family=family)
    data = batches(
        seen,
        settings.batch_size,
        keys=setup.family.cond_keys,
        seed=config.seed,
    )
    given = conditions(setup.family, source.info, config.data.to_dict())
    evaluator = make_evaluator(
        config.to_dict()["evals"] or {},
        config.data.name,
        lambda split: source if split == "train" else load(config.data.to_dict(), split),
        given.names,
    )
    best = evaluator.best if evaluator else None
    state_bytes = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(setup.shapes))
    claim(workdir, config.to_dict(), needed_bytes=(settings.keep + 1 + bool(best)) * state_bytes)

    # Snapshots of post-hoc averages: what an average of any other width is made of after training.
    snapshot_every = snapshot_interval(config.ema.to_dict())
    with (
        Checkpoints(workdir / "checkpoints", settings.keep) as checkpoints,
        Checkpoints(workdir / "snapshots") if snapshot_every else contextlib.nullcontext() as snapshots,
        Best(workdir / "best", best.figure, best.mode) if best else contextlib.nullcontext() as keeper,
    ):
        # 2. The state: of the newest whole checkpoint in the folder, or a new one.
        whole = parallel.replicated(mesh)
        restored = checkpoints.restore(abstract_like(setup.shapes, whole), data)
        if restored is None:
            step, state = 0, setup.init(jax.random.key(config.seed), whole)
            metadata = describe(config.to_dict(), source.info)
        else:
            step, state, metadata = restored
            console.print(f"going on from step {step} in {workdir}", markup=False)

        # 3. The step, compiled once for the whole run.
        on_device = functools.partial(prepare, flip=settings.flip, binarize=config.data.get("binarize") == "dynamic")
        step_fn = make_train_step(setup.family, setup.optimizers, setup.tracks, on_device)
        per_call = steps_per_call(settings, step, snapshot_every, evaluator.every if evaluator else 0)
        step_fn = step_fn if per_call == 1 else scan_steps(step_fn)
        split = parallel.split_batch(mesh, per_call)
        key = run_key(config, metadata, whole)
        if step < settings.steps:
            console.print("compiling the train step ...")
            position = data.get_state()
            shapes = parallel.to_devices(take_batches(data, per_call), split)
            data.set_state(position)  # only looked at: it will be the first batch
            compiled = parallel.compile_step(step_fn, state, shapes, key, mesh, per_call)
            plan, devices = step_plan(compiled), describe_devices(mesh)
            cost = CostRecord(workdir, started, plan, devices)
            evals = {"evals": evaluator.describe()} if evaluator else {}
            writers.start_table(console, facts(config, workdir, source, setup, compiled, plan, devices) | evals)

        # 4. The loop. It waits for the devices only where it logs.
        size, split_samples = config.sample.batch_size, parallel.split_batch(mesh)
        stream = make_stream(setup.family, source.info, size, split_samples, given)
        generate = collected(stream)
        watch, on_collapse = Watch(getattr(setup.family, "alarms", {})), settings.get("on_collapse", "warn")
        with writers.MetricWriter(workdir, step) as writer, writers.Progress(console, settings.steps, step) as progress:
            pending = []
            while step < settings.steps:
                batch = parallel.to_devices(
                    take_batches(data, per_call), split
                )  # while the devices are still at the step before
                state, metrics = compiled(state, batch, key)
                step += per_call
                pending.append(metrics)
                last = step == settings.steps
                measured = evaluator is not None and (last or step % evaluator.every == 0)

                # a. Report, and look whether the updates are finite. Before a save too: what is averaged is not saved.
                #    Evaluate before the save as well: who goes on from it has this step's figures and best checkpoint.
                if last or measured or step % settings.log_every == 0 or step % settings.checkpoint_every == 0:
                    row = average(pending) | {"skipped": total_skipped(state)}
                    row["images_per_second"] = progress.rate(step, settings.batch_size)
                    progress.show(step, row)
                    trouble = not_finite(step, state) if row["skipped"] > settings.max_skipped else None
                    if (collapse := watch.look(step, row)) and on_collapse == "warn":
                        log.warning("%s. %s", *collapse)
                    trouble = trouble or (collapse if on_collapse != "warn" else None)
                    if evaluator and measured and not trouble:
                        run = Run(config.to_dict(), source.info, setup, workdir, step, state.replace(opt={}), mesh)
                        with progress.paused():
                            figures, seconds = measure(evaluator, run, stream, given.names)
                            value = figures[best.figure] if best else np.nan
                            improved = keeper is not None and keeper.offer(value, step, state, data, metadata)
                        progress.evaluated(step, figures, seconds, improved)
                        row |= {f"evals/{name}": value for name, value in (figures | {"seconds": seconds}).items()}
                    writer.scalars(step, row)
                    pending = []
                    if trouble and trouble == collapse and on_collapse == "stop":
                        raise UserError(f"{collapse.what}. {collapse.fix}. The checkpoints are kept")
                    if trouble:
                        watch = Watch(watch.alarms)
                        step, state, metadata = roll_back(trouble, metadata, checkpoints, setup, config, whole)
                        key = run_key(config, metadata, whole)
                        writer.rewind(step)
                        continue

                # b. Save. The copy is taken now, the writing goes on in the background.
                if last or step % settings.checkpoint_every == 0:
                    checkpoints.save(step, state, data, metadata)
                    cost.write(step)
                if snapshots and (last or step % snapshot_every == 0):
                    snapshots.save(step, state.ema)

                # c. Draw.
                if settings.sample_every and step % settings.sample_every == 0 and not last:
                    writer.grid(step, draw(config, generate, state, source.info))

            # 5. The end: the last grid, and where to go from here.
            grid = writer.grid(step, draw(config, generate, state, source.info))
    console.print(f"done: {grid}", markup=False)
    label = [f"--label={source.info.class_names[0]}"] if "label" in setup.family.cond_keys else []
    command = ["python", "-m", "gen_jax.sample", f"--workdir={workdir}", "--num=64", *label, "--out=grid.png"]
    console.print(f"next: {shlex.join(command)}", markup=False)
    return state, writers.read_metrics(workdir)


def run_key(config: Config, metadata: dict[str, Any], sharding: jax.sharding.Sharding) -> jax.Array:
    """The key of all training steps. After a roll-back it is another one, so that the same noise does not return."""
    key = jax.random.fold_in(jax.random.key(config.seed), 1 + metadata["rollbacks"])
    return jax.device_put(key, sharding)


def average(pending: list[dict[str, jax.Array]]) -> dict[str, float]:
    """The mean of each metric over the steps since the last report, without those in which it was not computed."""
    fetched = jax.device_get(pending)
    columns = {name: np.concatenate([np.atleast_1d(m[name]) for m in fetched]) for name in fetched[0]}
    kept = {name: values[~np.isnan(values)] for name, values in columns.items()}
    return {name: float(values.mean()) if values.size else float("nan") for name, values in kept.items()}


def total_skipped(state: TrainState) -> int:
    """How many updates of any player were left out, so far, since a value was not finite."""
    return sum(int(opt.skipped) for opt in state.opt.values())


def not_finite(step: int, state: TrainState) -> Trouble:
    """What the last skipped update that was not finite has to say."""
    player = max(state.opt, key=lambda p: int(state.opt[p].skipped))
    opt = state.opt[player]
    what = f"{opt.skipped} updates of {player} were not finite by step {step}; the first such value of the last one: "
    what += watched(state.params[player])[int(opt.first_bad)]
    return Trouble(what, f"A smaller config.optim.{player}.learning_rate or a gradient clip may help")


def roll_back(
    trouble: Trouble,
    metadata: dict[str, Any],
    checkpoints: Checkpoints,
    setup: Setup,
    config: Config,
    sharding: jax.sharding.Sharding,
) -> tuple[int, TrainState, dict[str, Any]]:
    """The newest checkpoint once more, with other noise and, as the data is not rewound, with other batches.

    Raises:
      UserError: the run was rolled back already.
    """
    if metadata["rollbacks"]:
        raise UserError(
            f"training diverged again after a roll-back: {trouble.what}. {trouble.fix}; the checkpoints are kept"
        )
    checkpoints.wait()
    restored = checkpoints.restore(abstract_like(setup.shapes, sharding))
    if restored is None:
        restored = 0, setup.init(jax.random.key(config.seed), sharding), metadata
    step, state, metadata = restored
    log.warning("%s. Rolled back to step %s; the next time the run stops", trouble.what, step)
    return step, state, metadata | {"rollbacks": metadata["rollbacks"] + 1}


def measure(evaluator: Evaluator, run: Run, stream: Stream, fields: tuple[str, ...]) -> tuple[dict[str, float], float]:
    """The figures of the run as it is now, and the seconds that they took. fields: that the stream has beside x."""
    start = time.perf_counter()
    facts = {"seed": evaluator.seed, **describe_family(run.setup.family), "ema": bool(run.state.ema)}
    samples = Samples(
        *(lambda: stream(run.state, evaluator.num, evaluator.seed), evaluator.num, run.info, facts, run.step),
        fields=fields,
    )
    figures = evaluator(samples, run, run.workdir / "receipts.json")
    return figures, time.perf_counter() - start


def draw(config: Config, generate: Generate, state: TrainState, info: DataInfo) -> np.ndarray:
    """The run's sample grid: config.sample.num samples of config.sample.seed, a column for each class; of models that
    are conditional on more than a label, for the first examples of the test split. Points are drawn where they lie."""
    samples = generate(state, config.sample.num, config.sample.seed)
    return writers.picture(samples, info.num_classes)


def describe_devices(mesh: Mesh) -> str:
    """Such as 8 x TPU v5e (tpu)."""
    devices = mesh.devices.flatten()
    return f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})"


def facts(
    config: Config,
    workdir: Path,
    source: Source,
    setup: Setup,
    compiled: Any,
    plan: Mapping[str, float],
    devices: str,
) -> dict[str, str]:
    """The start table."""
    settings, info = config.train, source.info
    players = (f"{p} {writers.quantity(count_params(tree), '')}" for p, tree in setup.shapes.params.items())
    classes = f", {info.num_classes} classes" if info.num_classes else ""
    by_cudnn = jax.default_backend() == "gpu" and "cudnn$fmha" in compiled.as_text()
    attention = {"attention": "cuDNN" if by_cudnn else "XLA"} if jax.default_backend() == "gpu" else {}
    return {
        "devices": devices,
        "data": f"{config.data.name}: {len(source):,} x {list(info.shape)}{classes}",
        "parameters": ", ".join(players),
        "step": f"batch {settings.batch_size}, {writers.quantity(plan['flops_per_step'], 'FLOP')} (XLA's count), "
        f"{writers.quantity(plan['step_bytes'], 'B')} of memory a device",
        **attention,
        "training": f"{settings.steps:,} steps, {settings.steps * settings.batch_size / len(source):.0f} epochs",
        "workdir": f"{workdir}: metrics.jsonl, tensorboard/, samples/, checkpoints/ every {settings.checkpoint_every}",
    }
