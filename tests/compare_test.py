"""Runs of three families compared: the files, what they say, and how a browser shows them."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ml_collections import ConfigDict

import gen_jax.compare
import gen_jax.main
from gen_jax.diffusion.samplers import DDIM, Euler
from gen_jax.errors import UserError
from gen_jax.report import measure
from gen_jax.training.restore import open_run

MLP = dict(name="nn.MLP", features=(8,))
LABEL = dict(name="nn.Conditioning", width=8, num_classes=None)
ADAM = dict(name="adam", learning_rate=1e-3)
DIFFUSION = dict(
    name="families.Diffusion",
    network=MLP,
    conditioning=LABEL,
    schedule=dict(name="diffusion.RectifiedFlow"),
    parameterization=dict(name="diffusion.flow"),
    sampler=dict(name="diffusion.Heun"),
    guidance=dict(cfg=dict(name="diffusion.classifier_free", scale=1.5)),
    cond_drop=0.1,
    steps=3,
)
GAN = dict(
    name="families.GAN",
    generator=dict(MLP, final="tanh"),
    discriminator=dict(MLP, outputs=1),
    conditioning=LABEL,
    loss=dict(name="losses.non_saturating"),
    latent=4,
)
VAE = dict(
    name="families.VAE",
    encoder=dict(MLP, outputs=8),
    decoder=dict(MLP, channels_per_value=2),
    conditioning=dict(name="nn.Conditioning", width=8),
    likelihood=dict(name="losses.DiscretizedLogistic"),
    latent=4,
)
RUNS = {
    "flow": (DIFFUSION, ("model",), 0),
    "gan": (GAN, ("disc", "gen"), 0),
    "gan, again": (GAN, ("disc", "gen"), 1),
    "vae": (VAE, ("model",), 0),
}


def config(family, players, seed):
    train = dict(steps=8, batch_size=8, steps_per_call=1, log_every=1, checkpoint_every=8, keep=1, sample_every=0)
    return ConfigDict(
        dict(
            seed=seed,
            family=family,
            data=dict(name="digits"),
            optim={player: dict(ADAM) for player in players},
            ema=dict(),
            train=train | dict(flip=False, max_skipped=10),
            parallel=dict(data=1),
            sample=dict(num=10, batch_size=10, seed=0),
            evals=dict(),
        )
    )


def evals(fid, count=1000):
    receipt = {
        "metric": "fid",
        "version": 1,
        "settings": {"bootstrap": 0},
        "features": {"network": "own", "hash": "a" * 64, "resize": "none"},
        "data": {"name": "digits", "split": "train", "hash": "d" * 64, "count": 1442},
        "samples": {"count": count, "dtype": "uint8", "seed": 0},
        "checkpoint": 8,
        "code": "0.1.0",
        "device": "1 x cpu (cpu)",
        "date": "2026-11-24T00:00:00+00:00",
    }
    return json.dumps({"evaluations": [{"figures": {"fid_own": {"value": fid, "receipt": receipt}}, "cost": {}}]})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders by name, all evaluated but the VAE's."""
    place = tmp_path_factory.mktemp("runs")
    for i, (name, (family, players, seed)) in enumerate(RUNS.items()):
        gen_jax.main.run(config(family, players, seed), place / name)
        if name != "vae":
            (place / name / "evals.json").write_text(evals(3.5 + i))
    return {name: place / name for name in RUNS}


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    """The report of all runs, and where it is."""
    page = tmp_path_factory.mktemp("out") / "new" / "report.html"
    quality = {}  # stands for the distance, which would train a classifier
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "own_distance", lambda data: lambda samples: quality.setdefault("n", len(samples["x"])))
        found = gen_jax.compare.run(
            list(runs.values()), page, num=20, seeds=(0, 3), steps=(1, 2), sweep_num=30, rounds=1
        )
    assert quality == {"n": 30}
    return found, page


def cells(found, table, run, part=None):
    rows = [r for r in found["tables"][table]["rows"] if r["run"] == run and (part is None or r.get("part") == part)]
    return {key: cell["value"] for key, cell in rows[0]["cells"].items()}


def test_the_report_says_what_there_is(made, runs):
    found, page = made
    assert json.loads(page.with_suffix(".json").read_text()) == found
    models = {name: cells(found, "models", name) for name in runs}
    assert [m["family"] for m in models.values()] == ["Diffusion", "GAN", "GAN", "VAE"]
    assert [m["seed"] for m in models.values()] == [0, 0, 1, 0]
    assert all(m["step"] == 8 and m["parameters"] > 500 for m in models.values())
    assert [cells(found, "quality", name)["fid_own"] for name in runs] == [3.5, 4.5, 5.5, None]
    assert cells(found, "stability", "gan", "gen")["loss"] > 0
    assert cells(found, "stability", "gan", "disc")["skipped"] == 0
    assert cells(found, "training", "flow")["steps"] == 8
    assert cells(found, "training", "flow")["images_per_second"] > 0
    seeds = cells(found, "seeds", "gan gan, again")
    assert (seeds["seeds"], seeds["fid_own"]) == (2, 5.0)
    assert found["tables"]["seeds"]["rows"][0]["cells"]["fid_own"]["spread"] == pytest.approx(np.sqrt(0.5))
    assert any("vae has no figures: python -m gen_jax.evaluate" in warning for warning in found["warnings"])
    assert len(found["tables"]["curve-0"]["rows"]) == 8


def test_network_evaluations_are_counted(made, runs):
    """Heun asks twice a step, and guidance doubles that; a generator and a decoder are asked once."""
    found, _ = made
    assert {name: cells(found, "generation", name)["evaluations"] for name in runs} == {
        "flow": 3 * 2 * 2, "gan": 1, "gan, again": 1, "vae": 1
    }  # fmt: skip
    assert cells(found, "sweep", "flow", "1")["evaluations"] == 4
    assert cells(found, "sweep", "flow", "2")["evaluations"] == 8
    assert cells(found, "sweep", "vae", "one pass")["evaluations"] == 1
    opened = open_run(runs["flow"])
    for sampler in (Euler(), DDIM()):
        family = dataclasses.replace(opened.setup.family, sampler=sampler)
        assert measure.network_evaluations(opened, family) == 3 * 2


def test_pictures(made, runs):
    """A grid for each run and seed, a chart of each run, the speed-quality plot, and the nearest images."""
    _, page = made
    text = page.read_text()
    assert len(re.findall(r'<img [^>]*src="data:image/png', text)) == len(runs) * 2 + len(runs)
    assert len(re.findall(r'<img [^>]*src="data:image/svg', text)) == len(runs) + 1
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "<script" not in text
    assert page.with_suffix(".md").read_text().startswith("# flow, gan, gan, again, vae compared\n")


def test_the_same_samples_whatever_the_others_are(runs, made, tmp_path):
    """Sample i of a grid depends on (seed, i) alone, so that a report of fewer runs shows the same."""
    _, page = made
    gen_jax.compare.run([runs["gan"], runs["vae"]], tmp_path / "r.html", num=20, seeds=(3,), rounds=1)
    grid = re.search(r'<img [^>]*alt="gan: seed 3[^>]*>', (tmp_path / "r.html").read_text())[0]
    assert grid in page.read_text()


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def test_a_browser_opens_it_without_an_error_and_with_every_picture(made, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    _, page = made
    # The page has no script of its own; this one asks the browser what became of the pictures.
    asking = """<script>addEventListener("load", () => {
        const all = [...document.images], loaded = all.filter(i => i.complete && i.naturalWidth > 0);
        document.body.dataset.loaded = loaded.length + " of " + all.length; });</script></body>"""
    asked = tmp_path / "asked.html"
    asked.write_text(page.read_text().replace("</body>", asking))

    def open_(path):
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom")
        options += (f"--user-data-dir={tmp_path}/browser", "--enable-logging=stderr", "--v=0", "--timeout=20000")
        done = subprocess.run([browser, *options, path.as_uri()], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "CONSOLE" not in done.stderr
        return done.stdout

    count = page.read_text().count("<img ")
    assert f'data-loaded="{count} of {count}"' in open_(asked)
    assert open_(page).count("<img ") == count


def command(*args):
    line = [sys.executable, "-m", "gen_jax.compare", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, timeout=120)


def test_a_mistake_is_one_line_and_status_2(runs, tmp_path):
    done = command(f"--workdirs={runs['gan']}", f"--out={tmp_path}/r.html")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "two runs or more" in done.stderr


def test_bad_input(runs, tmp_path):
    both = [runs["gan"], runs["vae"]]
    empty = tmp_path / "no checkpoints"
    empty.mkdir()
    shutil.copy(runs["gan"] / "config.json", empty)
    (tmp_path / "there.md").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.html").mkdir()
    for workdirs, out, settings, says in (
        (both[:1], "r.html", {}, "two runs or more"),
        ([runs["gan"], tmp_path / "nothing"], "r.html", {}, "nothing does not exist"),
        ([runs["gan"], empty], "r.html", {}, "no checkpoints in"),
        (both, "r.pdf", {}, "such as report.html"),
        (both, "there.html", {}, r"there\.md is there already; .*--overwrite"),
        (both, "file/r.html", {}, "cannot be written"),
        (both, "folder.html", {}, "is a folder"),
        (both, "r.html", {"num": 0}, "--num=0"),
        (both, "r.html", {"steps": [4, 0]}, "--steps=0"),
        (both, "r.html", {"sweep_num": 1}, "--sweep_num=1"),
        (both, "r.html", {"seeds": [-1]}, "--seeds=-1"),
        (both, "r.html", {"seeds": []}, "at least one seed"),
        (both, "r.html", {"names": ["x"]}, "2 different names"),
    ):
        with pytest.raises(UserError, match=says):
            gen_jax.compare.run(workdirs, tmp_path / out, **settings)
    assert not (tmp_path / "r.html").exists()
    assert (tmp_path / "there.md").read_text() == "x"


def test_overwriting_is_allowed_when_asked_for(runs, tmp_path):
    page = tmp_path / "r.html"
    page.write_text("old")
    gen_jax.compare.run([runs["gan"], runs["vae"]], page, num=4, rounds=1, overwrite=True)
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.json", "r.md"]
