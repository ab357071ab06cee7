"""A trained run, opened for use: sampling, evaluation, benchmarks."""

import dataclasses
from pathlib import Path

import jax

from gen_jax.errors import UserError
from gen_jax.training import parallel
from gen_jax.training.checkpoint import Checkpoints, abstract_like
from gen_jax.training.ema import reconstruct
from gen_jax.training.setup import Setup, set_up
from gen_jax.training.workdir import data_info, read_config
from gen_jax.types import Config, DataInfo, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Run:
    """What is in a run's folder. The state has no optimizer."""

    config: Config
    info: DataInfo
    setup: Setup
    workdir: Path
    step: int
    state: TrainState
    mesh: jax.sharding.Mesh

    def post_hoc(self, std: float) -> dict[str, PyTree]:
        """The average of relative width `std` (training/ema.py), of each player that has post-hoc tracks.

        Raises:
          UserError: the run keeps none, or has no snapshot yet; a width out of range.
        """
        tracks = {name: track for name, track in self.setup.tracks.items() if track.std is not None}
        if not tracks:
            raise UserError(
                f"--ema={std}: this run keeps no averages to make another one of; train with "
                "config.ema.PLAYER=dict(stds=(0.05, 0.1), every=500)"
            )
        whole = parallel.replicated(self.mesh)
        with Checkpoints(self.workdir / "snapshots", read_only=True) as snapshots:
            shapes = abstract_like(self.setup.shapes.ema, whole)
            steps = [step for step in snapshots.steps if step <= self.step]
            stored = {step: jax.device_get(snapshots.restore(shapes, step=step)[1]) for step in steps}
        if not stored:
            raise UserError(f"--ema={std}: there is no snapshot up to step {self.step} in {self.workdir}/snapshots")
        averages = {}
        for player in sorted({track.player for track in tracks.values()}):
            own = [(step, name) for step in stored for name, track in tracks.items() if track.player == player]
            trees = [stored[step][name] for step, name in own]
            stds = [float(tracks[name].std or 0) for _, name in own]
            averages[player] = reconstruct(trees, [step for step, _ in own], stds, self.step, std)
        return jax.device_put(averages, whole)


def open_run(workdir: str | Path, checkpoint: int | str | None = None) -> Run:
    """The run in `workdir`, with the state of its newest whole checkpoint.

    checkpoint: the step of the one to take, or "best", the one that config.evals.best keeps.

    Raises:
      UserError: there is no run, no whole checkpoint, or none at that step, or no best one.
    """
    workdir = Path(workdir)
    config = read_config(workdir)
    folder, at = workdir / "checkpoints", None
    if checkpoint == "best":
        folder = workdir / "best"
        if not folder.is_dir():
            raise UserError(
                f"--checkpoint=best: there is none in {workdir}; train with config.evals, whose field best names a "
                "figure, or give a step"
            )
    elif checkpoint is not None:
        if not str(checkpoint).isdigit():
            raise UserError(f"--checkpoint={checkpoint}: give a step, or best")
        at = int(checkpoint)
    with Checkpoints(folder, read_only=True) as checkpoints:
        info = data_info(checkpoints.describe(at))
        setup = set_up(config, info)
        mesh = parallel.make_mesh(config["parallel"]["data"])
        step, state = checkpoints.restore_model(setup.shapes, parallel.replicated(mesh), at)
    return Run(config, info, setup, workdir, step, state, mesh)
