"""The benchmarks run and report what they promise. No time is asserted: machines differ."""

import json
import subprocess
import textwrap
from pathlib import Path

import pytest

from gen_jax.errors import UserError

CONFIG = """
    from ml_collections import ConfigDict

    def get_config(variant="digits"):
        return ConfigDict(dict(
            seed=0,
            family=dict(
                name="families.Diffusion",
                network=dict(name="nn.MLP", features=(16,)),  # compiles in no time
                conditioning=dict(name="nn.Conditioning", width=16),
                schedule=dict(name="diffusion.RectifiedFlow"),
                parameterization=dict(name="diffusion.flow"),
                sampler=dict(name="diffusion.Euler"),
                steps=2,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3)),
            ema=dict(model=dict(decay=0.9)),
            train=dict(steps=4, batch_size=8, steps_per_call=1, log_every=2, checkpoint_every=2, keep=1,
                       sample_every=0, flip=False, max_skipped=10),
            parallel=dict(data=1),
            sample=dict(num=10, batch_size=10, seed=0),
            evals=dict(),
        ))
"""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A tiny config's path; the benchmarks, which are scripts, can be imported."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    path = tmp_path / "tiny.py"
    path.write_text(textwrap.dedent(CONFIG))
    return str(path)


def check_header(result, benchmark):
    assert result["benchmark"] == benchmark
    assert result["command"].startswith("python ")
    assert result["hardware"]["cores"] >= 1
    assert {"gen-jax", "jax"} <= set(result["versions"])
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_quickstart(config, tmp_path):
    import quickstart
    import report

    out = tmp_path / "out.json"
    first = quickstart.run(config, tmp_path / "run", out, per_class=2)
    assert json.loads(out.read_text()) == first
    check_header(first, "quickstart")
    assert first["samples"] == 20
    assert first["data"] == {"name": "digits", "train": 1442, "test": 355, "classes": 10}
    assert first["seconds"]["train"] > 0
    assert 0 <= first["label_agreement"]["agreement"] <= 1
    assert first["label_agreement"]["classifier_accuracy"] > 0.95
    assert 0.3 < first["memorization"]["authenticity_test"] < 0.7

    again, other = report.load_config(config), report.load_config(config)
    assert quickstart.train_run(config, again, tmp_path / "run") is None  # the run is there, and not timed
    other.seed = 1
    with pytest.raises(UserError, match="seed is 0 there and 1 here"):
        quickstart.train_run(config, other, tmp_path / "run")


def test_train_step(config, tmp_path):
    import train_step

    large = tmp_path / "large.py"
    large.write_text(Path(config).read_text().replace('dict(name="digits")', 'dict(name="shapes", resolution=16)'))
    out = tmp_path / "out.json"
    result = train_step.run([config, str(large)], out, batch_size=4, steps=2, rounds=2, matmul_size=32)
    assert json.loads(out.read_text()) == result
    check_header(result, "train_step")
    small, row = result["configs"]
    assert (small["batch_size"], small["shape"], small["classes"]) == (4, [8, 8, 1], 10)
    assert (row["batch_size"], row["shape"], row["classes"]) == (4, [16, 16, 3], 8)
    assert row["flops"] > small["flops"] > 0
    assert row["peak_bytes"] > small["peak_bytes"] > 4 * 4 * small["parameters"]  # params, EMA and two Adam moments
    assert row["images_per_second"] == pytest.approx(4 / row["seconds"])
    rate = result["matmul_flops_per_second"]["float32"]
    assert row["share_of_float32"] == pytest.approx(row["flops_per_second"] / rate)
    assert row["compile_seconds"] > 0
    assert row["trace_seconds"] > 0


@pytest.mark.slow
def test_toys(tmp_path, monkeypatch, config):
    import toys

    monkeypatch.chdir(Path(__file__).parents[1])
    out = tmp_path / "out.json"
    kwargs = dict(methods=("r3gan", "wgan_gp"), data=("gaussians_ring",), num=50, steps=2)
    result = toys.run(out, tmp_path / "runs", **kwargs)
    check_header(result, "toys")
    assert json.loads(out.read_text()) == result
    assert [row["method"] for row in result["runs"]] == ["r3gan", "wgan_gp"]
    assert all(row["figures"]["point_modes/known"] == 8 and row["seconds"] > 0 for row in result["runs"])
    assert out.with_suffix(".png").stat().st_size > 1000
    again = toys.run(out, tmp_path / "runs", **kwargs)
    assert [row["figures"] for row in again["runs"]] == [row["figures"] for row in result["runs"]]
    assert all(row["seconds"] is None for row in again["runs"])


def test_known_data(config):
    import report
    import train_step

    tiny = report.load_config(config)
    tiny.data = dict(name="tfds", dataset="mnist")
    assert train_step.known_info(tiny).shape == (28, 28, 1)
    tiny.data = dict(name="image_folder", path="somewhere")
    with pytest.raises(UserError, match="or give --shape"):
        train_step.known_info(tiny)


def test_train_step_counts_the_flops_of_a_known_step():
    # A linear model's step on x [b, d]: a product of [b, d] with [d, d] forward, one of [d, b] with [b, d] backward.
    import jax
    import jax.numpy as jnp

    def loss(w, x):
        return jnp.square(x @ w).mean()

    compiled = jax.jit(jax.grad(loss)).lower(jnp.zeros((64, 64)), jnp.zeros((32, 64))).compile()
    assert compiled.cost_analysis()["flops"] == pytest.approx(2 * 2 * 32 * 64 * 64, rel=0.1)


def test_sampler_orders(config, tmp_path, monkeypatch):
    import sampler_orders

    chosen = {name: sampler_orders.ORDERS[name] for name in ("Euler", "DEIS(3)")}
    monkeypatch.setattr(sampler_orders, "ORDERS", chosen)
    sampler_orders.run(str(tmp_path / "out.json"), (64, 128))
    for row in json.loads((tmp_path / "out.json").read_text())["samplers"]:
        assert abs(row["order"] - row["theory"]) < 0.2
        assert row["errors"][1] < row["errors"][0] < 0.1


def test_train_loop(config, tmp_path):
    import train_loop

    out = tmp_path / "out.json"
    result = train_loop.run(config, out, rounds=1)
    assert json.loads(out.read_text()) == result
    check_header(result, "train_loop")
    assert result["measured_steps"] == 2
    assert len(result["ratios"]) == len(result["loop_images_per_second"]) == 1
    assert len(result["bare_images_per_second"]) == 2
    assert result["ratio"] == result["ratios"][0] > 0


def test_the_loops_rate_by_hand(config):
    import train_loop

    # Batch 10. Steps 1-2 at 5 images/s, 3-4 at 20 (1 s), 5-6 at 10 (2 s): 40 images in 3 s after step 2.
    rows = [{"step": s, "images_per_second": r} for s, r in ((2, 5.0), (4, 20.0), (6, 10.0))]
    assert train_loop.rate_between(rows, 2, 6, 10) == pytest.approx(40 / 3)


@pytest.mark.parametrize(
    ("benchmark", "kwargs", "message"),
    [
        ("quickstart", dict(config_spec="no.py", workdir="w"), "no config file no.py"),
        ("train_step", dict(specs=["no.py:x"]), "no config file no.py"),
        ("train_loop", dict(config_spec=None, steps=3), "two or more times checkpoint_every=2"),
    ],
)
def test_mistakes_are_named(config, tmp_path, benchmark, kwargs, message):
    module = pytest.importorskip(benchmark)
    kwargs = {k: config if v is None else v for k, v in kwargs.items()}
    with pytest.raises(UserError, match=message):
        module.run(**kwargs, out=tmp_path / "out.json")


def test_penalties(config, tmp_path):
    import penalties

    vanilla = str(Path(__file__).parents[1] / "configs" / "gan" / "vanilla.py")
    result = penalties.run(vanilla, tmp_path / "out.json", names=("r1", "PathLength"), every=2, steps=2, rounds=1)
    check_header(result, "penalties")
    assert [(row["penalty"], row["player"]) for row in result["rows"]] == [("r1", "disc"), ("PathLength", "gen")]
    assert all(min(row["seconds"].values()) > 0 for row in result["rows"])
    with pytest.raises(UserError, match="--every=1: a lazy penalty"):
        penalties.run(vanilla, tmp_path / "out.json", every=1)
    with pytest.raises(UserError, match="unknown penalty 'r3'"):
        penalties.run(vanilla, tmp_path / "out.json", names=("r3",))
    with pytest.raises(UserError, match=r"penalties are those of families\.GAN"):
        penalties.run(config, tmp_path / "out.json")


def test_a_first_stage_is_trained_before_and_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    monkeypatch.chdir(Path(__file__).parents[1])
    import quickstart
    import report

    commands = []

    def run(command, env):
        commands.append(command[3:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(quickstart.subprocess, "run", run)
    spec, run_dir, first = "configs/hybrid/maskgit.py", tmp_path / "maskgit", tmp_path / "first"
    config = report.load_config(spec)
    assert quickstart.train_run(spec, config, run_dir, first) > 0
    assert commands == [
        ["--config=configs/vae/vq_vae.py", f"--workdir={first}"],
        [f"--config={spec}", f"--workdir={run_dir}", f"--config.family.codec.workdir={first}"],
    ]
    assert config.family.codec.workdir == str(first)
    assert report.first_stage("configs/vae/vq_vae.py") is None


def test_latents(config, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    import latents

    codec, network = {"width": 8, "multipliers": [1, 2], "groups": 4}, {"width": 16, "depth": 1, "heads": 2}
    small = dict(resolution=8, codec=codec, network=network, batch_size=2, length=4, rounds=1)
    tokens = "configs/hybrid/vq_autoregressive.py"
    result = latents.run("configs/hybrid/latent_dit.py", tokens, tmp_path / "out.json", **small)
    check_header(result, "latents")
    assert result["latent_shape"] == [4, 4, 4]
    assert min(*result["codec"].values(), *result["tokens"].values(), result["cache"]["speed_up"]) > 0
    with pytest.raises(UserError, match="it has no first stage"):
        latents.run(config, tokens, tmp_path / "out.json", **small)
