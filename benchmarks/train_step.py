"""The train step of each config: time, FLOPs, FLOP/s beside the device's own matrix products, memory, compiling.

    python benchmarks/train_step.py [--configs=configs/quickstart.py,configs/gan/vanilla.py:cifar10]
        [--batch_size=64] [--steps=20] [--rounds=3] [--shape=32,32,3 --classes=10] [--out=FILE.json]

Without --configs: the default variant of every file in configs/. The step is the one that training compiles, one update
of each player, on a synthetic batch that lies on the device: no data set is read. Shapes and classes of well-known data
are in `KNOWN`; for others give --shape and --classes.

    seconds       per step: `rounds` blocks of `steps` steps each, waited for at the end of a block; the median block
    FLOPs         per step, XLA's cost analysis of the compiled step. It counts the body of a scan once, and takes the
                  dearest branch of a condition: with every=k it is the step in which all players are updated, and
                  FLOP/s come out too high. Kernels that XLA does not know (custom calls) count as none.
    share         FLOP/s over the rate of square matrix products on one device, measured in this run before the steps
                  and after them (the higher of the two), times the number of devices: float32 at JAX's default
                  precision, on accelerators bfloat16 too
    memory        peak_bytes: XLA's plan for the step, state and batch included; device_peak_bytes: what the device's
                  allocator had in use at most since the process began, where it says so
    trace_seconds, compile_seconds   Python to XLA's input, and XLA, without the compilation cache
"""

import functools
import math
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import report
from absl import flags

from gen_jax import cli
from gen_jax.data.transforms import prepare
from gen_jax.errors import UserError, unknown
from gen_jax.training import parallel
from gen_jax.training.setup import Setup, check_config, set_up
from gen_jax.training.state import count_params
from gen_jax.training.step import make_train_step, scan_steps
from gen_jax.types import Config, DataInfo

KNOWN = {
    "digits": ((8, 8, 1), 10),
    "shapes": ((32, 32, 3), 8),
    "mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
}
"""Shape and number of classes of data that need not be read for this."""

COLUMNS = {
    "config": "config",
    "batch_size": "batch",
    "parameters": "parameters",
    "seconds": "s/step",
    "images_per_second": "images/s",
    "flops": "GFLOP/step",
    "flops_per_second": "GFLOP/s",
    "share": "share",
    "peak_bytes": "MB",
    "trace_seconds": "trace s",
    "compile_seconds": "compile s",
}
SCALE = {"flops": 1e9, "flops_per_second": 1e9, "peak_bytes": 1e6}


def run(
    specs: list[str],
    out: str | Path,
    *,
    batch_size: int | None = None,
    steps: int = 20,
    rounds: int = 3,
    info: DataInfo | None = None,
    matmul_size: int | None = None,
) -> dict[str, Any]:
    """Measures the step of each config, prints a table, and writes the result to `out`.

    batch_size, info: in place of the config's own. matmul_size: the side of the products; None: by the device.
    """
    result = report.header("train_step") | {"steps": steps, "rounds": rounds, "configs": []}
    before = matmul_rates(matmul_size)
    for spec in specs:
        config = report.load_config(spec)
        if batch_size is not None:
            config.train.batch_size = batch_size
        print(f"{spec} ...", flush=True)
        result["configs"].append({"config": spec} | measure(config, info or known_info(config), steps, rounds))
    after = matmul_rates(matmul_size)
    rates = {name: max(rate, after[name]) for name, rate in before.items()}
    result["matmul_flops_per_second"] = rates
    for row in result["configs"]:
        row |= {f"share_of_{name}": row["flops_per_second"] / row["devices"] / rate for name, rate in rates.items()}
    _show(result)
    report.write(out, result)
    print(f"written: {out}")
    return result


def measure(config: Config, info: DataInfo, steps: int, rounds: int) -> dict[str, Any]:
    """The figures of one config, as described above."""
    check_config(config.to_dict())
    mesh = parallel.make_mesh(config.parallel.data)
    parallel.check_batch_size(config.train.batch_size, mesh)
    setup = set_up(config.to_dict(), info)
    # One step a call whatever the config says: XLA counts the FLOPs of a scan's body once, not per step.
    step = BareStep(config, setup, synthetic(setup, info, config.train.batch_size), steps_per_call=1)
    period = math.lcm(*(optimizer.every for optimizer in setup.optimizers.values()))
    steps = -(-steps // period) * period  # whole rounds of all players' updates
    step.run(period)  # the first calls allocate
    seconds = statistics.median(step.run(steps) / steps for _ in range(rounds))

    cost, memory = step.compiled.cost_analysis() or {}, step.compiled.memory_analysis()
    flops = float(cost.get("flops", 0.0))
    stats = jax.devices()[0].memory_stats() or {}
    return {
        "batch_size": config.train.batch_size,
        "shape": list(info.shape),
        "classes": info.num_classes,
        "devices": mesh.size,
        "players": {player: count_params(tree) for player, tree in setup.shapes.params.items()},
        "parameters": count_params(setup.shapes.params),
        "seconds": seconds,
        "images_per_second": config.train.batch_size / seconds,
        "flops": flops * mesh.size,  # the analysis is of one device's program
        "flops_per_second": flops * mesh.size / seconds,
        "peak_bytes": _planned_bytes(memory),
        "device_peak_bytes": stats.get("peak_bytes_in_use"),
        "trace_seconds": step.trace_seconds,
        "compile_seconds": step.compile_seconds,
    }


class BareStep:
    """The step that training compiles, and nothing around it: the same batch, on the device, over and over."""

    def __init__(self, config: Config, setup: Setup, batch: Mapping[str, np.ndarray], steps_per_call: int):
        """batch: on the host, with a leading axis [steps_per_call] where that is more than 1."""
        mesh = parallel.make_mesh(config.parallel.data)
        whole = parallel.replicated(mesh)
        step = make_train_step(
            setup.family, setup.optimizers, setup.tracks, functools.partial(prepare, flip=config.train.flip)
        )
        step = step if steps_per_call == 1 else scan_steps(step)
        self._state = setup.init(jax.random.key(config.seed), whole)
        self._key = jax.device_put(jax.random.fold_in(jax.random.key(config.seed), 1), whole)
        self._batch = parallel.to_devices(batch, parallel.split_batch(mesh, steps_per_call))
        compiling: list[float] = []

        def listen(event: str, seconds: float, **_):
            if event == "/jax/core/compile/backend_compile_duration":
                compiling.append(seconds)

        jax.block_until_ready((self._state, self._batch))
        jax.monitoring.register_event_duration_secs_listener(listen)
        start = time.perf_counter()
        self.compiled = parallel.compile_step(step, self._state, self._batch, self._key, mesh, steps_per_call)
        total = time.perf_counter() - start
        jax.monitoring.unregister_event_duration_listener(listen)
        self.compile_seconds = sum(compiling)
        self.trace_seconds = total - self.compile_seconds

    def run(self, calls: int) -> float:
        """Seconds of so many calls, one after the other, waited for at their end."""
        start = time.perf_counter()
        for _ in range(calls):
            self._state, metrics = self.compiled(self._state, self._batch, self._key)
        jax.block_until_ready((self._state, metrics))
        return time.perf_counter() - start


def known_info(config: Config) -> DataInfo:
    """Shape and classes of the config's data, by its name; `resolution` is taken from the spec.

    Raises:
      UserError: data that are not among the known ones.
    """
    spec = config.data.to_dict()
    name = spec.get("dataset", spec["name"])  # {"name": "tfds", "dataset": "mnist"}
    if name not in KNOWN:
        raise UserError(f"{unknown('data for a synthetic batch', name, KNOWN)}; or give --shape=32,32,3 --classes=10")
    shape, classes = KNOWN[name]
    if "resolution" in spec:
        shape = (spec["resolution"], spec["resolution"], shape[-1])
    return make_info(shape, classes)


def make_info(shape: tuple[int, ...], classes: int) -> DataInfo:
    """The description of data of this shape and number of classes."""
    return DataInfo(shape, tuple(str(i) for i in range(classes)))


def synthetic(setup: Setup, info: DataInfo, batch_size: int) -> dict[str, np.ndarray]:
    """A random batch on the host, with all that the family reads: images as bytes, labels within the classes."""
    rng = np.random.default_rng(0)
    batch: dict[str, np.ndarray] = {"index": np.arange(batch_size, dtype=np.int32)}
    for name, example in setup.example.items():
        shape, dtype = (batch_size, *example.shape[1:]), np.dtype(example.dtype)
        if name in ("x", "image") and len(shape) == 4:
            batch[name] = rng.integers(0, 256, shape, dtype=np.uint8)
        elif name == "label":
            batch[name] = rng.integers(0, info.num_classes, shape, dtype=dtype)
        elif dtype.kind == "f":
            batch[name] = rng.uniform(-1, 1, shape).astype(dtype)
        else:
            batch[name] = np.zeros(shape, dtype)
    return batch


def matmul_rates(size: int | None = None, seconds: float = 1.0) -> dict[str, float]:
    """FLOP/s of products of two square matrices on the first device, by type: the best of those done in `seconds`."""
    accelerator = jax.devices()[0].platform != "cpu"
    size = size or (8192 if accelerator else 2048)
    rates = {}
    for name in ("float32", "bfloat16") if accelerator else ("float32",):
        a, b = (jax.random.normal(jax.random.key(i), (size, size), jnp.dtype(name)) for i in range(2))
        product = jax.jit(jnp.matmul).lower(a, b).compile()
        rates[name] = 2 * size**3 / _fastest(functools.partial(product, a, b), seconds)
    return rates


def _fastest(call: Callable[[], jax.Array], seconds: float) -> float:
    """Seconds of the fastest of the calls that fit into `seconds`, and of two at least."""
    end, times = time.perf_counter() + seconds, []
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - start)
    return min(times[1:])


def _planned_bytes(memory: Any) -> int | None:
    """What one device needs at most in a step. The donated state's output takes no room of its own."""
    if memory is None:
        return None
    arguments = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return arguments + memory.temp_size_in_bytes


def _show(result: dict[str, Any]) -> None:
    hardware = result["hardware"]
    rates = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in result["matmul_flops_per_second"].items())
    print(f"{hardware['cores']} cores of {hardware['cpu']}, {hardware['devices']} x {hardware['device_kind']}; {rates}")
    shares = {f"share_of_{name}": f"of {name}" for name in result["matmul_flops_per_second"]}
    columns = {k: v for k, v in COLUMNS.items() if k != "share"} | shares
    rows = []
    for row in result["configs"]:
        scaled = {k: v / SCALE[k] if k in SCALE and v is not None else v for k, v in row.items()}
        rows.append([f"{scaled[k]:.0%}" if k in shares else scaled[k] for k in columns])
    report.show("train step", list(columns.values()), rows)


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    info = None
    if given.shape:
        info = make_info(tuple(int(n) for n in given.shape), given.classes or 0)
    elif given.classes is not None:
        raise UserError("--classes is the number of classes of data of --shape; give both")
    jax.config.update("jax_enable_compilation_cache", False)  # it would hide the time to compile
    specs = given.configs or sorted(str(path) for path in Path("configs").rglob("*.py"))
    run(specs, given.out, batch_size=given.batch_size, steps=given.steps, rounds=given.rounds, info=info)


if __name__ == "__main__":
    flags.DEFINE_list("configs", None, "FILE.py or FILE.py:variant, with commas; default: all, default variants.")
    flags.DEFINE_integer("batch_size", None, "In place of each config's own.", lower_bound=1)
    flags.DEFINE_integer("steps", 20, "Steps in a block.", lower_bound=1)
    flags.DEFINE_integer("rounds", 3, "Blocks; the median counts.", lower_bound=1)
    flags.DEFINE_list("shape", None, "Of one example, in place of the data's own: 32,32,3.")
    flags.DEFINE_integer("classes", None, "How many classes data of --shape have; 0: no labels.")
    flags.DEFINE_string("out", str(report.RESULTS / "train_step.json"), "Where to write the result.")
    cli.run(main)
