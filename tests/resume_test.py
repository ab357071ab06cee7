"""A run that is killed, again and again, ends as the one that was left alone: to the last bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from gen_jax.training import parallel
from gen_jax.training.checkpoint import Checkpoints, abstract_like
from gen_jax.training.setup import set_up
from gen_jax.training.workdir import data_info, read_config

ROOT = Path(__file__).parents[1]
STEPS, EVERY = 240, 20
CONFIG = (
    "--config=configs/quickstart.py",
    *(f"--config.train.steps={STEPS}", f"--config.train.checkpoint_every={EVERY}", "--config.train.keep=3"),
    *("--config.train.log_every=7", "--config.train.batch_size=8", "--config.train.sample_every=0"),
    *("--config.family.network.width=32", "--config.family.network.depth=1", "--config.family.network.heads=2"),
    *("--config.family.steps=2", "--config.sample.num=10", "--config.sample.batch_size=10"),
)


@pytest.fixture
def start(tmp_path):
    """The function that starts the training command in a folder, as a process. None outlives the test."""
    env = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=1",
        "JAX_PLATFORMS": "cpu",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    processes = []

    def start_in(workdir: Path) -> subprocess.Popen:
        line = [sys.executable, "-m", "gen_jax.main", *CONFIG, f"--workdir={workdir}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        # What a shell starts in the background ignores Ctrl-C, and so would what the tests start there.
        processes.append(subprocess.Popen(line, cwd=ROOT, env=env, **pipes, preexec_fn=heed_interrupts))
        return processes[-1]

    yield start_in
    for process in processes:
        process.kill()
        process.communicate()


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def rows(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def half_written(workdir: Path) -> bool:
    """Whether a checkpoint is there that is not committed: until it is, it has another name."""
    return any(not path.name.isdigit() for path in (workdir / "checkpoints").glob("*"))


def kill_when(process: subprocess.Popen, ready: Callable[[], object]) -> bool:
    """Kills it, as a machine's end would, once `ready()`. False: it had ended by itself."""
    deadline = time.monotonic() + 120
    while not ready() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.0005)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def final(workdir: Path) -> tuple[dict[str, np.ndarray], dict, list[dict]]:
    """The last checkpoint: every leaf of the state by its path, the data's position; and the rows of metrics.jsonl."""
    mesh = parallel.make_mesh(1)
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        assert checkpoints.steps[-1] == STEPS
        shapes = set_up(read_config(workdir), data_info(checkpoints.describe(STEPS))).shapes
        _, state, _ = checkpoints.restore(abstract_like(shapes, parallel.replicated(mesh)), step=STEPS)
    leaves = {jax.tree_util.keystr(path): np.asarray(x) for path, x in jax.tree_util.tree_leaves_with_path(state)}
    (position,) = (workdir / "checkpoints" / str(STEPS) / "data").glob("process_*.json")
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    kept = [{k: v for k, v in json.loads(line).items() if k != "images_per_second"} for line in lines]
    return leaves, json.loads(position.read_text()), kept


@pytest.mark.slow
def test_kills_leave_no_trace(start, tmp_path):
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    process = start(alone)
    assert process.wait(120) == 0, process.stderr.read()

    draw = random.Random(0)
    kills, torn = 0, 0
    for moment in ("any", "writing", "any", "writing"):
        before, more = rows(killed), draw.randint(1, 9)

        def ready(moment=moment, before=before, more=more) -> bool:
            now = rows(killed)
            return now >= before + more if moment == "any" else now > before and half_written(killed)

        kills += kill_when(start(killed), ready)
        torn += bool(half_written(killed))
    assert kills == 4
    assert torn, "no kill came while a checkpoint was being written: the test has not tested that"
    last = start(killed)
    assert last.wait(120) == 0, last.stderr.read()
    assert b"going on from step" in last.stdout.read()

    (leaves, position, lines), (leaves_2, position_2, lines_2) = final(alone), final(killed)
    assert len(leaves) > 10
    assert leaves.keys() == leaves_2.keys()
    for path, leaf in leaves.items():
        assert leaf.tobytes() == leaves_2[path].tobytes(), path
    assert position == position_2
    assert lines == lines_2
    assert not half_written(killed)


@pytest.mark.slow
def test_a_person_who_stops_it_is_told_how_to_go_on(start, tmp_path):
    process = start(tmp_path / "run")
    deadline = time.monotonic() + 120
    while not rows(tmp_path / "run") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    (line,) = process.stderr.read().decode().splitlines()
    assert line == "gen_jax: stopped; training goes on from its last checkpoint by the same command"
