"""The commands' contract, kept by real commands: what a run leaves, and one line and status 2 for every bad input.

Those of bad input are forks of a process that has imported the package (command_server.py); all others begin anew."""

import concurrent.futures
import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_jax.data.load import load
from gen_jax.errors import UserError
from gen_jax.training.workdir import claim

ROOT = Path(__file__).parents[1]
QUICKSTART = "--config=configs/quickstart.py"
FOLDER = "--config=configs/quickstart.py:folder"
SHORT = (
    "--config.train.steps=2",
    "--config.train.batch_size=8",
    "--config.train.checkpoint_every=1",
    "--config.train.log_every=1",
)
NARROW = (
    *("--config.family.network.width=32", "--config.family.network.depth=1", "--config.family.network.heads=2"),
    *("--config.family.steps=2", "--config.sample.num=10", "--config.sample.batch_size=10"),
)
TINY = (QUICKSTART, *SHORT, *NARROW)

NO_TRAIN_STEPS = """
from configs.quickstart import get_config as quickstart

def get_config():
    config = quickstart()
    del config.train.steps
    return config
"""


EVALS = """
from configs.quickstart import get_config as quickstart

def get_config():
    config = quickstart()
    config.evals = dict(every=1, metrics=dict(fid=dict(name="evals.fid")), best=dict(figure="fid", mode="min"))
    return config
"""

CLIPPED = """
from configs.gan.toys import get_config as toys

def get_config():
    config = toys("wgan_gp")
    config.optim.disc.project = dict(name="clip_weights", limit=0.01)
    return config
"""
LAZY = """
from configs.gan.toys import get_config as toys

def get_config():
    config = toys("r1")
    config.family.disc_penalties.r1.every = 0
    return config
"""
TOYS = "--config=configs/gan/toys.py"


def environment(cache: Path, devices: int = 1) -> dict[str, str]:
    """Of a command: a cache of its own, and as many virtual devices, not the eight that the tests have."""
    xla = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    flags = {"XLA_FLAGS": xla, "XDG_CACHE_HOME": str(cache)}
    offline = {"https_proxy": "http://127.0.0.1:9", "GEN_JAX_WEIGHTS": str(cache / "weights")}
    return os.environ | flags | offline | {"JAX_PLATFORMS": "cpu", "COLUMNS": "80"}


def command(module: str, *args: object, env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", f"gen_jax.{module}", *map(str, args)]
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """All files' bytes, and all folders, by path."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder with a run of each family, and the commands' cache. What a test changes it copies first."""
    place = tmp_path_factory.mktemp("my runs")  # the space is to be quoted where a command is named
    env = environment(place / "cache")
    quickstart = command("main", *TINY, f"--workdir={place}/diffusion", env=env)
    assert quickstart.returncode == 0, quickstart.stderr
    (place / "stdout").write_text(quickstart.stdout)
    (place / "stderr").write_text(quickstart.stderr)
    others = ("vae", "configs/vae/vae.py"), ("gan", "configs/gan/vanilla.py"), ("cyclegan", "configs/gan/cyclegan.py")
    for name, config in others:
        sizes = "--config.sample.num=4", "--config.sample.batch_size=4"
        done = command("main", f"--config={config}", *SHORT, *sizes, f"--workdir={place}/{name}", env=env)
        assert done.returncode == 0, done.stderr
    sizes = "--config.train.steps_per_call=1", "--config.train.sample_every=1", "--config.sample.num=20"
    done = command("main", TOYS, *SHORT, *sizes, f"--workdir={place}/toys", env=env)
    assert done.returncode == 0, done.stderr
    return place


# What lies in a row's own folder before the command. `here` is that folder, `runs` the runs above.


def write(name: str, text: str) -> Callable[[Path, Path], None]:
    return lambda here, runs: (here / name).write_text(text) and None


def images(*sizes: tuple[int, int], broken: bool = False) -> Callable[[Path, Path], None]:
    """here/images with two classes of images of these sizes, one of which may be cut off."""

    def prepare(here: Path, runs: Path) -> None:
        for i, size in enumerate(sizes):
            path = here / "images" / ("cat", "dog")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", size, (i * 20, 0, 0)).save(path)
        if broken:
            whole = (here / "images" / "dog" / "1.png").read_bytes()
            (here / "images" / "dog" / "torn.png").write_bytes(whole[:50])

    return prepare


def empty_folder(here: Path, runs: Path) -> None:
    (here / "images").mkdir()


def a_run(here: Path, runs: Path) -> None:
    shutil.copytree(runs / "diffusion", here / "run")


def toys(here: Path, runs: Path) -> None:
    shutil.copytree(runs / "toys", here / "run")


def a_run_without_checkpoints(here: Path, runs: Path) -> None:
    (here / "run").mkdir()
    shutil.copy(runs / "diffusion" / "config.json", here / "run")


def damaged(*steps: int) -> Callable[[Path, Path], None]:
    """here/run with half of every large file of these checkpoints gone."""

    def prepare(here: Path, runs: Path) -> None:
        a_run(here, runs)
        for step in steps:
            files = [p for p in (here / "run" / "checkpoints" / str(step)).rglob("*") if p.is_file()]
            for file in files:
                if file.stat().st_size > 1000:
                    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])

    return prepare


@dataclasses.dataclass(frozen=True)
class Row:
    """One bad input. In `args` and `says`, {here} is the row's own folder and {runs} that of the runs.

    says: what the one line on standard error has to name."""

    name: str
    args: tuple[str, ...]
    says: tuple[str, ...]
    module: str = "main"
    prepare: Callable[[Path, Path], None] | None = None
    devices: int = 1


def main(name: str, *args: str, says: tuple[str, ...], prepare=None, devices: int = 1) -> Row:
    """A row of main that would make {here}/run; the tiny config, unless the row gives --config itself."""
    given = any(arg.startswith("--config=") for arg in args)
    workdir = () if any(arg.startswith("--workdir") for arg in args) else ("--workdir={here}/run",)
    return Row(name, (*(() if given else TINY), *args, *workdir), says, "main", prepare, devices)


TRANSLATE = ("--config=configs/gan/cyclegan.py", *SHORT)


def domains(**sizes: tuple[int, int]) -> Callable[[Path, Path], None]:
    """here/images with folders of two images of these sizes each."""

    def prepare(here: Path, runs: Path) -> None:
        for name, size in sizes.items():
            for i in range(8):
                path = here / "images" / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", size, (i * 20, 0, 0)).save(path)

    return prepare


def recipe(name: str, variant: str = "") -> str:
    """The flag for a config of the diffusion family."""
    return f"--config=configs/diffusion/{name}.py{variant}"


def sample(name: str, *args: str, says: tuple[str, ...], prepare=None) -> Row:
    """A row of sample that would make {here}/out.png of the diffusion run, unless the row says otherwise."""
    workdir = () if any(arg.startswith("--workdir") for arg in args) else ("--workdir={runs}/diffusion",)
    out = () if any(arg.startswith("--out") for arg in args) else ("--out={here}/out.png",)
    return Row(name, (*args, *workdir, *out), says, "sample", prepare)


def arrays(**shapes: tuple[int, ...]) -> Callable[[Path, Path], None]:
    """here/NAME.npz with so many images of noise."""

    def prepare(here: Path, runs: Path) -> None:
        for name, shape in shapes.items():
            np.savez(here / f"{name}.npz", x=np.random.default_rng(0).integers(0, 256, shape, np.uint8))

    return prepare


def evaluate(name: str, *args: str, says: tuple[str, ...], prepare=None) -> Row:
    """A row of evaluate, of the diffusion run unless the row gives --workdir or --samples."""
    given = any(arg.startswith(("--workdir", "--samples")) for arg in args)
    return Row(name, (*args, *(() if given else ("--workdir={runs}/diffusion",))), says, "evaluate", prepare)


INCEPTION = "pt_inception-2015-12-05-6726825d.pth"

BAD = [
    # Flags.
    Row("no config", ("--workdir={here}/run",), ("--config is needed", "--config=configs/quickstart.py")),
    Row("no workdir", (QUICKSTART,), ("--workdir is needed", "--workdir=DIR")),
    Row(
        "a field, no config", ("--config.train.steps=3", "--workdir={here}/run"), ("--config.train.steps", "--config=")
    ),
    main("unknown flag", "--wrokdir=x", says=("unknown flag '--wrokdir'", "did you mean '--workdir'", "--config")),
    main("stray argument", "train.steps=3", says=("unexpected argument 'train.steps=3'", "--help")),
    # Config files.
    main("unknown file", "--config=configs/quickstrat.py", says=("quickstrat.py", "did you mean", "quickstart.py'")),
    main(
        "unknown variant",
        "--config=configs/quickstart.py:digit",
        says=("unknown variant", "'digit'", "did you mean 'digits'?", "Known: "),
    ),
    main(
        "no variants",
        "--config={here}/c.py:digits",
        says=("'digits'", "c.py has no variants"),
        prepare=write("c.py", "def get_config():\n    return 1"),
    ),
    main(
        "syntax error",
        "--config={here}/c.py",
        says=("c.py, line 2: ", "return (1"),
        prepare=write("c.py", "def get_config():\n    return (1\n"),
    ),
    main(
        "exception inside",
        "--config={here}/c.py",
        says=("c.py, line 2: ZeroDivisionError: ",),
        prepare=write("c.py", "def get_config():\n    return 1 / 0\n"),
    ),
    main("no get_config", "--config={here}/c.py", says=("c.py", "get_config"), prepare=write("c.py", "config = {}\n")),
    main(
        "no ConfigDict",
        "--config={here}/c.py",
        says=("c.py", "dict", "ConfigDict is needed"),
        prepare=write("c.py", "def get_config():\n    return {}\n"),
    ),
    main("a field is missing", "--config={here}/c.py", says=("train.steps",), prepare=write("c.py", NO_TRAIN_STEPS)),
    # Fields.
    main(
        "unknown field", "--config.train.stepz=3", says=("'train.stepz'", "did you mean 'train.steps'?", "train.keep")
    ),
    main("unknown section", "--config.trian.steps=3", says=("'trian'", "did you mean 'train'?", "optim")),
    main("field of what is empty", "--config.evals.every=3", says=("'evals.every'", "evals is empty", "'every': ...")),
    main("field of a number", "--config.train.steps.x=3", says=("'train.steps.x'", "500")),
    main("wrong type", "--config.train.steps=abc", says=("--config.train.steps=abc", "a whole number is needed")),
    main("out of range", "--config.train.keep=0", says=("train.keep=0", "at least 1")),
    main("unknown family", "--config.family.name=families.Difusion", says=("'Difusion'", "did you mean 'Diffusion'?")),
    main("unknown network", "--config.family.network.name=nn.DIIT", says=("'DIIT'", "did you mean 'DiT'?", "UViT")),
    main(
        "unknown argument in a spec",
        QUICKSTART,
        "--config.family.network={{'name': 'nn.DiT', 'widht': 32}}",
        says=("argument of nn.DiT 'widht'", "did you mean 'width'?", "depth"),
    ),
    # Diffusion models.
    main("no steps", "--config.family.steps=0", says=("family.steps=0", "at least 1")),
    main(
        "guidance without a condition",
        "--config.family.conditioning.num_classes=0",
        says=("family.guidance=cfg", "conditional"),
    ),
    main("times", recipe("edm"), "--config.family.start=0.001", says=("family.start=0.001", "0 <= end < start")),
    main(
        "odd resolution",
        recipe("ddpm"),
        "--config.family.network.multipliers=(1,2,2,2,2)",
        says=("multiples of 16", "8x8", "fewer multipliers"),
    ),
    main(
        "churn on a consistency model",
        recipe("consistency"),
        "--config.family.sampler.name=diffusion.EDMStochastic",
        says=("family.sampler=EDMStochastic", "diffusion.ConsistencyMultistep"),
    ),
    main(
        "no teacher",
        recipe("consistency", ":distill"),
        "--config.family.teacher.workdir=",
        says=("family.teacher.workdir is needed",),
    ),
    main("the first stage is missing", "--config=configs/hybrid/maskgit.py", says=("runs/vq_vae does not exist",)),
    main(
        "teacher is no run",
        recipe("consistency", ":distill"),
        "--config.family.teacher.workdir={here}/nothing",
        says=("{here}/nothing does not exist",),
    ),
    # Adversarial models.
    main(
        "on_collapse",
        TOYS,
        "--config.train.on_collapse=rolback",
        says=("train.on_collapse 'rolback'", "did you mean 'rollback'?", "stop, warn"),
    ),
    main(
        "clipping with a gradient penalty",
        "--config={here}/c.py",
        says=("optim.disc.project=clip_weights", "disc_penalties.gp=gradient_penalty", "take one"),
        prepare=write("c.py", CLIPPED),
    ),
    main("penalty interval", "--config={here}/c.py", says=("every=0", "1, 2, 3"), prepare=write("c.py", LAZY)),
    # Translation.
    main(
        "no second domain",
        *TRANSLATE,
        "--config.data={{'name': 'digits'}}",
        says=("conditional on 'image'", "have only: x, label", "name='pairs'"),
    ),
    main(
        "a folder without a second domain",
        *TRANSLATE,
        "--config.data={{'name': 'pairs', 'path': '{here}/images', 'paired': False}}",
        says=("{here}/images", "has domain A and not the second one, B", "trainA/ and trainB/"),
        prepare=domains(trainA=(8, 8)),
    ),
    main(
        "domains of two sizes",
        *TRANSLATE,
        "--config.data={{'name': 'pairs', 'path': '{here}/images', 'paired': False}}",
        says=("A's are 8x8, B's are 16x16", "resolution"),
        prepare=domains(A=(8, 8), B=(16, 16)),
    ),
    main(
        "sizes that cannot be halved",
        *TRANSLATE,
        "--config.family.generator.downs=4",
        says=("8x8 cannot be halved 4 times", "16x16"),
    ),
    Row(
        "data: no second domain",
        ("--source=pairs", "--path={here}/images"),
        ("no second domain", "0.png (8x8)"),
        "data",
        domains(train=(8, 8)),
    ),
    main("average", "--config.ema.model.decay=1.5", says=("ema.model.decay=1.5", "below 1")),
    # Data.
    main("unknown data", "--config.data.name=digitz", says=("'digitz'", "did you mean 'digits'?", "image_folder")),
    main(
        "no such path",
        FOLDER,
        "--config.data.path={here}/nothing",
        says=("{here}/nothing", "no such file or folder"),
        prepare=empty_folder,
    ),
    main(
        "empty folder",
        FOLDER,
        "--config.data.path={here}/images",
        says=("{here}/images", "empty", ".png"),
        prepare=empty_folder,
    ),
    main(
        "corrupt image",
        FOLDER,
        "--config.data.path={here}/images",
        says=("1 broken image", "dog/torn.png", "--config.data.on_error=skip"),
        prepare=images(*[(8, 8)] * 4, broken=True),
    ),
    main(
        "mixed sizes",
        FOLDER,
        "--config.data.path={here}/images",
        says=("8x8", "9x12", "dog/3.png", "--config.data.resolution="),
        prepare=images((8, 8), (8, 8), (8, 8), (9, 12)),
    ),
    Row("data: no such path", ("--path={here}/nothing",), ("{here}/nothing", "no such file or folder"), "data"),
    Row("data: unknown source", ("--source=digitz",), ("'digitz'", "did you mean 'digits'?"), "data"),
    Row(
        "data: corrupt image",
        ("--path={here}/images",),
        ("dog/torn.png", "on_error=skip"),
        "data",
        images(*[(8, 8)] * 4, broken=True),
    ),
    # Batch sizes.
    main("batch size 0", "--config.train.batch_size=0", says=("batch_size=0", "at least 1")),
    main("devices can't share", "--config.train.batch_size=7", says=("batch_size=7", "8 devices", "use 8"), devices=8),
    main("batch of more than all", "--config.train.batch_size=2000", says=("2000", "1442 examples")),
    main("too many devices", "--config.parallel.data=3", says=("parallel.data=3", "1 devices")),
    # Work directories.
    main(
        "another config",
        "--config.optim.model.clip=0.5",
        says=("{here}/run", "optim.model.clip is 1.0 there and 0.5 here"),
        prepare=a_run,
    ),
    main("all checkpoints damaged", says=("no checkpoint", "1 (", "2 (", "Move"), prepare=damaged(1, 2)),
    main(
        "a file in the way",
        "--workdir={here}/file/run",
        says=("{here}/file/run", "written"),
        prepare=write("file", "x"),
    ),
    main("a file as workdir", "--workdir={here}/file", says=("{here}/file", "written"), prepare=write("file", "x")),
    # Sampling.
    Row("sample: no workdir", ("--out={here}/out.png",), ("--workdir is needed",), "sample"),
    Row("sample: no out", ("--workdir={runs}/diffusion",), ("--out is needed", "--out=grid.png"), "sample"),
    sample("sample: not a run", "--workdir={here}", says=("{here}", "no config.json")),
    sample("sample: no folder", "--workdir={here}/nothing", says=("{here}/nothing", "does not exist", "gen_jax.main")),
    sample(
        "sample: no checkpoints",
        "--workdir={here}/run",
        says=("no checkpoints in {here}/run",),
        prepare=a_run_without_checkpoints,
    ),
    sample("sample: all damaged", "--workdir={here}/run", says=("1 (", "2 ("), prepare=damaged(1, 2)),
    sample("sample: no such step", "--checkpoint=7", says=("step 7", "1, 2")),
    sample("sample: none", "--num=0", says=("--num=0", "at least 1")),
    sample("sample: abc", "--num=abc", says=("--num=abc", "a whole number is needed")),
    sample("sample: 0 at once", "--batch_size=0", says=("--batch_size=0", "at least 1")),
    sample("sample: seed", "--seed=-1", says=("--seed=-1", "0 to 2147483647")),
    sample("sample: no steps", "--steps=0", says=("--steps=0", "at least 1")),
    sample("sample: sampler", "--sampler=Hein", says=("sampler 'Hein'", "did you mean 'Heun'?", "DDIM")),
    sample("sample: not JSON", "--family=steps=3", says=("--family=steps=3", "not JSON")),
    sample(
        "sample: family",
        '--family={{"sampler": {{"name": "diffusion.UniPCC"}}}}',
        says=("'UniPCC'", "did you mean 'UniPC'?"),
    ),
    sample("sample: no snapshots", "--ema=0.1", says=("--ema=0.1", "keeps no averages", "stds")),
    sample("sample: label", "--label=10", says=("--label=10", "0 to 9")),
    sample("sample: negative label", "--label=-1", says=("--label=-1", "0 to 9")),
    sample("sample: label name", "--label=cat", says=("--label=cat", "0, 1, 2")),
    sample("sample: unconditional", "--label=1", "--workdir={runs}/vae", says=("--label=1", "unconditional")),
    sample("sample: scale", "--guidance=2", "--workdir={runs}/gan", says=("--guidance=2", "no guidance")),
    sample("sample: VAE, steps", "--steps=4", "--workdir={runs}/vae", says=("--steps=4", "VAE", "no steps")),
    sample("sample: GAN, steps", "--steps=4", "--workdir={runs}/gan", says=("--steps=4", "GAN", "no steps")),
    sample("sample: .jpg", "--out={here}/grid.jpg", says=("grid.jpg", ".png", ".npz", "folder/")),
    sample(
        "sample: out is there",
        "--out={here}/grid.png",
        says=("{here}/grid.png is there", "--overwrite"),
        prepare=write("grid.png", "x"),
    ),
    sample(
        "sample: a file in the way",
        "--out={here}/file/grid.png",
        says=("{here}/file/grid.png", "written"),
        prepare=write("file", "x"),
    ),
    sample("sample: out and label", "--out={here}/new/folder/", "--label=11", says=("--label=11",)),
    sample("sample: nothing is translated", "--source={here}", says=("--source={here}", "leave --source out")),
    sample(
        "sample: source of another size",
        *("--workdir={runs}/cyclegan", "--source={here}/a.npz"),
        says=("--source={here}/a.npz", "[4, 16, 16, 1]", "[n, 8, 8, 1]"),
        prepare=arrays(a=(4, 16, 16, 1)),
    ),
    sample(
        "sample: no source",
        *("--workdir={runs}/cyclegan", "--source={here}/nothing"),
        says=("{here}/nothing", "no such file or folder"),
    ),
    sample("sample: checkpoint", "--checkpoint=newest", says=("--checkpoint=newest", "a step, or best")),
    sample("sample: no best", "--checkpoint=best", says=("--checkpoint=best", "config.evals")),
    # Evaluation.
    Row("evaluate: nothing", (), ("--workdir is needed", "--samples and --reference"), "evaluate"),
    evaluate(
        "evaluate: no checkpoints", "--workdir={here}/run", says=("no checkpoints",), prepare=a_run_without_checkpoints
    ),
    evaluate("evaluate: metric", "--evals=fid,prcd", says=("metric 'prcd'", "did you mean 'prdc'?", "kid")),
    evaluate("evaluate: split", "--split=val", says=("split 'val'", "test, train")),
    evaluate(
        "evaluate: wrong checksum",
        "--features=inception",
        f"--weights={{here}}/{INCEPTION}",
        says=(INCEPTION, "sha256", "6726825d"),
        prepare=write(INCEPTION, "x"),
    ),
    evaluate(
        "evaluate: no reference",
        *("--samples={here}/a.npz", "--out={here}/e.json"),
        says=("--reference is needed",),
        prepare=arrays(a=(4, 8, 8, 1)),
    ),
    evaluate(
        "evaluate: another size",
        *("--samples={here}/a.npz", "--reference=digits", "--out={here}/e.json"),
        says=("16x16x3", "8x8x1"),
        prepare=arrays(a=(4, 16, 16, 3)),
    ),
    evaluate(
        "evaluate: empty folder",
        *("--samples={here}/images", "--reference=digits", "--out={here}/e.json"),
        says=("{here}/images", "empty"),
        prepare=empty_folder,
    ),
    main(
        "evals: no such figure",
        "--config={here}/c.py",
        says=("figure in config.evals.best 'fid'", "did you mean 'fid_own'?"),
        prepare=write("c.py", EVALS),
    ),
]

GOOD = [
    Row(
        "corrupt image skipped",
        (
            FOLDER,
            *SHORT,
            *NARROW,
            "--config.train.batch_size=4",
            "--config.data.path={here}/images",
            "--config.data.on_error=skip",
            "--workdir={here}/run",
        ),
        ("skipped 1 of 5 images", "dog/torn.png"),
        "main",
        images(*[(8, 8)] * 4, broken=True),
    ),
    main("newest damaged", says=("{here}/run/checkpoints is damaged and passed over: 2 (",), prepare=damaged(2)),
    sample(
        "sample: newest damaged",
        "--num=3",
        "--workdir={here}/run",
        says=("{here}/run/checkpoints is damaged and passed over: 2 (",),
        prepare=damaged(2),
    ),
    main("finished", says=(), prepare=a_run),
    sample("sample: png", "--num=3", "--label=4", "--sampler=DDIM", "--steps=3", "--guidance=0", says=()),
    sample(
        "sample: other sampler and guidance",
        "--num=3",
        '--family={{"sampler": {{"name": "diffusion.UniPC", "order": 2}}, "guidance": {{"cfg": {{"name": '
        '"diffusion.adaptive_projected", "scale": 3.0}}}}}}',
        says=(),
    ),
    sample("sample: npz", "--num=20", "--out={here}/new/x.npz", says=()),
    sample("sample: folder", "--num=20", "--out={here}/new/folder/", says=()),
    sample("sample: overwrite", "--num=1", "--out={here}/g.png", "--overwrite", says=(), prepare=write("g.png", "x")),
    sample("sample: VAE", "--num=3", "--workdir={runs}/vae", says=()),
    sample("sample: GAN", "--num=3", "--workdir={runs}/gan", says=()),
    sample("sample: points", "--num=30", "--workdir={runs}/toys", says=()),
    evaluate("evaluate: points", "--num=30", "--workdir={here}/run", says=(), prepare=toys),
    sample("sample: CycleGAN", "--num=3", "--workdir={runs}/cyclegan", says=()),
    sample(
        "sample: CycleGAN, the other way, of a folder",
        *("--workdir={runs}/cyclegan", "--source={here}/images", '--family={{"direction": "BA"}}'),
        *("--out={here}/x.npz",),
        says=(),
        prepare=domains(A=(12, 9)),
    ),
    evaluate(
        "evaluate: run", "--num=20", "--evals=prdc,sliced_wasserstein", "--workdir={here}/run", says=(), prepare=a_run
    ),
    *(Row(f"{module} --help", ("--help",), (), module) for module in ("main", "sample", "data", "evaluate")),
]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a row: its folder, what was there before and is there after, and what the command said."""

    here: Path
    before: dict[str, bytes | None]
    after: dict[str, bytes | None]
    done: subprocess.CompletedProcess[str]

    def says(self, row: Row, runs: Path) -> None:
        """Asserts that standard error is the one line that the row asks for, or empty where it asks for none."""
        lines = self.done.stderr.splitlines()
        assert len(lines) == (1 if row.says else 0), self.done.stderr
        for text in row.says:
            assert text.format(here=self.here, runs=runs) in lines[0]
        assert all(line.startswith("gen_jax: ") for line in lines)


@pytest.fixture(scope="module")
def outcome(request, runs, tmp_path_factory):
    """The function from a row to its Outcome. All rows asked for run from the start, two at a time; those of
    bad input one by one."""
    place = tmp_path_factory.mktemp("rows")
    started: dict[str, concurrent.futures.Future[Outcome]] = {}

    def play(row: Row) -> Outcome:
        here = place / re.sub(r"\W+", "-", row.name)
        here.mkdir()
        if row.prepare is not None:
            row.prepare(here, runs)
        before = snapshot(here)
        args = [arg.format(here=here, runs=runs) for arg in row.args]
        run = served if row in BAD else command
        done = run(row.module, *args, env=environment(runs / "cache", row.devices))
        return Outcome(here, before, snapshot(here), done)

    server = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "command_server.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    alone = threading.Lock()

    def served(module: str, *args: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        with alone, tempfile.TemporaryDirectory() as folder:
            said = {name: f"{folder}/{name}" for name in ("stdout", "stderr")}
            server.stdin.write(json.dumps({"module": module, "args": args, "env": env, **said}) + "\n")
            server.stdin.flush()
            status = int(server.stdout.readline())
            texts = {name: Path(path).read_text() for name, path in said.items()}
            return subprocess.CompletedProcess(args, status, **texts)

    with server, concurrent.futures.ThreadPoolExecutor(2) as pool:

        def start(row: Row) -> concurrent.futures.Future[Outcome]:
            if row.name not in started:
                started[row.name] = pool.submit(play, row)
            return started[row.name]

        # pytest-xdist spreads the tests over processes that each know all of them: there, each row waits for its test.
        if "PYTEST_XDIST_WORKER" not in os.environ:
            for item in request.session.items:
                if item.path == request.path and "row" in getattr(getattr(item, "callspec", None), "params", {}):
                    start(item.callspec.params["row"])
        yield lambda row: start(row).result()
        pool.shutdown(cancel_futures=True)


@pytest.mark.slow
@pytest.mark.parametrize("row", BAD, ids=lambda row: row.name)
def test_bad_input_is_one_line_and_status_2_and_changes_nothing(row, outcome, runs):
    seen = outcome(row)
    assert seen.done.returncode == 2, seen.done.stderr
    seen.says(row, runs)
    assert seen.after == seen.before


def good(name: str):
    """The parameter `row`: this one of GOOD."""
    return pytest.mark.parametrize("row", [row for row in GOOD if row.name == name], ids=[name])


@pytest.mark.slow
@pytest.mark.parametrize("row", GOOD, ids=lambda row: row.name)
def test_all_was_done_is_status_0_and_warnings_are_one_line(row, outcome, runs):
    seen = outcome(row)
    assert seen.done.returncode == 0, seen.done.stderr
    seen.says(row, runs)


def test_a_run_leaves_what_is_documented(runs):
    place = runs / "diffusion"
    assert {p.name for p in place.iterdir()} == {
        "config.json",
        "run.json",
        "metrics.jsonl",
        "tensorboard",
        "samples",
        "checkpoints",
    }
    assert json.loads((place / "config.json").read_text())["train"]["steps"] == 2
    rows = [json.loads(line) for line in (place / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 2
    assert {"loss", "images_per_second"} <= rows[-1].keys()
    assert [p.name for p in (place / "samples").iterdir()] == ["step_00000002.png"]
    assert Image.open(place / "samples" / "step_00000002.png").mode == "RGB"
    assert sorted(p.name for p in (place / "checkpoints").iterdir()) == ["1", "2"]
    assert list((place / "tensorboard").glob("events.*"))


def test_without_a_terminal_the_output_is_plain_lines(runs):
    text = (runs / "stdout").read_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert (runs / "stderr").read_text() == ""
    assert f"done: {runs}/diffusion/samples/step_00000002.png" in text.splitlines()


@pytest.mark.slow
def test_the_command_named_last_runs(runs, tmp_path):
    _, named = (runs / "stdout").read_text().splitlines()[-1].split("next: ")
    python, *args = shlex.split(named)
    assert python == "python"
    done = subprocess.run(
        [sys.executable, *args], cwd=tmp_path, env=environment(runs / "cache"), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["grid.png"]


@pytest.mark.slow
@good("newest damaged")
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(row, outcome, runs):
    seen = outcome(row)
    assert f"going on from step 1 in {seen.here}/run" in seen.done.stdout
    # The damaged one is written anew, and the same: what was lost is one step of computing.
    ours, theirs = (json.loads((p / "metrics.jsonl").read_text().splitlines()[-1]) for p in _two(seen, runs))
    assert ours | {"images_per_second": 0} == theirs | {"images_per_second": 0}
    again = command("sample", f"--workdir={seen.here}/run", f"--out={seen.here}/x.npz", env=environment(runs / "cache"))
    assert (again.returncode, again.stderr) == (0, "")


def _two(seen: Outcome, runs: Path) -> tuple[Path, Path]:
    return seen.here / "run", runs / "diffusion"


@pytest.mark.slow
@good("finished")
def test_a_finished_run_is_not_trained_again(row, outcome, runs):
    seen = outcome(row)
    assert "compiling" not in seen.done.stdout
    assert seen.done.stdout.splitlines()[-1].startswith("next: ")

    def kept(files):
        return {name: data for name, data in files.items() if "tensorboard" not in name}

    assert kept(seen.after) == kept(seen.before)


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_named_with_what_works_without(runs):
    """What is about to be downloaded is told before it is tried."""
    done = command("evaluate", f"--workdir={runs}/diffusion", "--features=inception", env=environment(runs / "cache"))
    told, error = done.stderr.splitlines()
    assert done.returncode == 2
    assert "downloading" in told
    assert "96 MB" in told
    assert all(text in error for text in ("cannot be downloaded", INCEPTION, f"{runs}/cache/weights", "fid_own"))
    assert not (runs / "diffusion" / "evals.json").exists()


@pytest.mark.slow
@good("evaluate: run")
def test_an_evaluation_is_printed_and_added_to_the_run(row, outcome):
    seen = outcome(row)
    (evaluation,) = json.loads((seen.here / "run" / "evals.json").read_text())["evaluations"]
    assert {"precision_own", "sliced_wasserstein"} <= evaluation["figures"].keys()
    lines = seen.done.stdout.splitlines()
    assert "features: a classifier of digits itself" in lines[0]
    for name, figure in evaluation["figures"].items():
        assert f"{name}: {figure['value']:.5g}" in lines
    assert lines[-1] == f"written: {seen.here}/run/evals.json"


@pytest.mark.slow
@good("sample: npz")
def test_an_npz_has_x_and_label(row, outcome):
    with np.load(outcome(row).here / "new" / "x.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "label"}
        assert (arrays["x"].shape, arrays["x"].dtype) == ((20, 8, 8, 1), np.uint8)
        np.testing.assert_array_equal(arrays["label"], np.arange(20) % 10)


@pytest.mark.slow
@good("sample: CycleGAN, the other way, of a folder")
def test_translations_of_a_folder_stand_beside_their_sources(row, outcome):
    """One for each image, which is cropped, resized and made grey as the model's images are."""
    with np.load(outcome(row).here / "x.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"x", "image"}
        assert arrays["x"].shape == arrays["image"].shape == (8, 8, 8, 1)
        grey = [round(0.299 * 20 * i) for i in range(8)]
        np.testing.assert_array_equal(arrays["image"][:, 3, 3, 0], grey)


@pytest.mark.slow
@good("sample: folder")
def test_a_folder_of_samples_is_a_data_set(row, outcome, runs):
    made = load({"name": "image_folder", "path": str(outcome(row).here / "new" / "folder")})
    (npz,) = (other for other in GOOD if other.name == "sample: npz")
    assert made.info.class_names == tuple("0123456789")
    assert made.info.shape == (8, 8, 1)
    with np.load(outcome(npz).here / "new" / "x.npz") as arrays:
        order = np.argsort(arrays["label"], kind="stable")  # a folder is read class by class
        np.testing.assert_array_equal([made[i]["x"] for i in range(20)], arrays["x"][order])
        np.testing.assert_array_equal([made[i]["label"] for i in range(20)], arrays["label"][order])


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in GOOD if row.name.endswith("--help")], ids=lambda row: row.name)
def test_help_names_the_flags(row, outcome):
    wanted = {
        "main": ("--config", "--workdir"),
        "sample": ("--num", "--label", "--out"),
        "evaluate": ("--workdir", "--evals", "--samples"),
        "data": ("--source", "--path"),
    }
    assert all(flag in outcome(row).done.stdout for flag in wanted[row.module])


@pytest.mark.slow
def test_a_changed_seed_of_the_same_config_is_another_config(runs, tmp_path):
    """The quickest way to a wrong comparison: the flag is forgotten or added at the second start."""
    shutil.copytree(runs / "diffusion", tmp_path / "run")
    done = command("main", *TINY, "--config.seed=1", f"--workdir={tmp_path}/run", env=environment(runs / "cache"))
    assert done.returncode == 2
    assert "seed is 0 there and 1 here" in done.stderr


def test_a_full_disk_is_known_before_training(tmp_path):
    with pytest.raises(UserError, match=r"1,000,000,000,000 MB and the disk has .* MB left; free some"):
        claim(tmp_path / "run", {"seed": 0}, needed_bytes=10**18)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["main", "sample"])
def test_a_full_disk_is_one_line(runs, tmp_path, module):
    """On a real one: a file system of 200 kB, seen by the command alone."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=200k none {shlex.quote(str(small))}"
    tried = subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("a file system of 200 kB cannot be mounted here: that takes root")
    args = {
        "main": [*TINY, f"--workdir={small}/run"],
        "sample": [f"--workdir={runs}/diffusion", "--num=2000", f"--out={small}/x.npz"],
    }[module]
    line = shlex.join([sys.executable, "-m", f"gen_jax.{module}", *args])
    fill = f"head -c 150k /dev/zero > {shlex.quote(str(small / 'filler'))}" if module == "sample" else "true"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{mount} && {fill} && {line}"],
        cwd=ROOT,
        env=environment(runs / "cache"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert re.search(r"gen_jax: .*(disk has 0 MB left|disk is full)", done.stderr)
