"""Every recipe: complete, buildable in each of its variants, and run, sampled and resumed in its default one."""

import dataclasses
import functools
import importlib.util
import inspect
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import gen_jax.evaluate
import gen_jax.main
import gen_jax.sample
from gen_jax.data.digits import digits
from gen_jax.errors import UserError
from gen_jax.evals.psnr import psnr
from gen_jax.training import loop, parallel
from gen_jax.training.setup import check_config, set_up
from gen_jax.training.state import count_params
from gen_jax.types import DataInfo

CONFIGS = Path(__file__).parent.parent / "configs"
FILES = sorted(CONFIGS.rglob("*.py"))
TEN = tuple("0123456789")
THOUSAND = tuple(map(str, range(1000)))
DATA = {
    "digits": DataInfo((8, 8, 1), TEN),
    "mnist": DataInfo((28, 28, 1), TEN),
    "stacked_mnist": DataInfo((28, 28, 3), THOUSAND),
    "cifar10": DataInfo((32, 32, 3), TEN),
    "shapes": DataInfo((32, 32, 3)),
    "image_folder": DataInfo((64, 64, 3), ("cat", "dog")),
    "downsampled_imagenet/64x64": DataInfo((64, 64, 3)),
    "imagenet_resized/64x64": DataInfo((64, 64, 3), THOUSAND),
    "arrays": DataInfo((32, 32, 4), THOUSAND, "float32"),  # latents
    "gaussians_grid": DataInfo((2,), tuple(map(str, range(25))), "float32"),
    "pairs of digits": DataInfo((8, 8, 1), TEN, conditions={"image": ((8, 8, 1), "uint8")}),
    "pairs of shapes": DataInfo((32, 32, 3), conditions={"image": ((32, 32, 3), "uint8")}),
    "pairs of folder": DataInfo((256, 256, 3), conditions={"image": ((256, 256, 3), "uint8")}),
}
TRAIN_FIELDS = {
    "steps", "batch_size", "steps_per_call", "log_every", "checkpoint_every", "keep", "sample_every", "flip",
    "max_skipped",
}  # fmt: skip


def load(file):
    spec = importlib.util.spec_from_file_location("config", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def data_of(config):
    """The key in DATA."""
    if config.data.name == "pairs":
        return f"pairs of {config.data.of}"
    return config.data.get("dataset", config.data.name)


def first_stage(file, config, variant):
    """The field of the family that names another run, and the config of that run; (None, None): there is none."""
    spec = getattr(load(file), "FIRST_STAGE", {}).get(variant)
    if spec is None:
        assert not any("workdir" in value for value in config.family.values() if hasattr(value, "keys"))
        return None, None
    path, _, first_variant = spec.partition(":")
    (field,) = (name for name, value in config.family.items() if hasattr(value, "keys") and "workdir" in value)
    return field, load(CONFIGS.parent / path).get_config(first_variant or "digits")


VARIANTS = [(file, variant) for file in FILES for variant in load(file).VARIANTS]


@pytest.mark.parametrize(("file", "variant"), VARIANTS, ids=[f"{f.stem}:{v}" for f, v in VARIANTS])
def test_each_variant_is_complete_and_builds(file, variant):
    config = load(file).get_config(variant)
    check_config(config.to_dict())
    assert set(config.train) - {"on_collapse", "latent_cache"} == TRAIN_FIELDS
    assert all(set(spec) >= {"name", "learning_rate", "clip", "every"} for spec in config.optim.values())
    players = list(config.optim.values())
    assert len({id(spec) for spec in players}) == len(players), "a flag for one player would change the others"
    info = DATA[data_of(config)]
    if config.data.get("resolution") and config.data.name != "pairs":
        info = dataclasses.replace(info, shape=(config.data.resolution, config.data.resolution, info.shape[-1]))
    spec = config.to_dict()
    field, first = first_stage(file, config, variant)
    if field is not None:
        with pytest.raises(UserError, match=f"{spec['family'][field]['workdir']}.* does not exist"):
            set_up(spec, info)
        spec["family"][field] = set_up(first.to_dict(), info).family
    setup = set_up(spec, info)
    assert all(count_params(tree) > 0 for tree in setup.shapes.params.values())


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_docstring_gives_the_source_the_command_and_what_was_measured(file):
    module = load(file)
    text = inspect.getdoc(module)
    assert "arXiv" in text
    assert f"--config={file.relative_to(CONFIGS.parent)}" in text
    assert "Measured" in text
    assert module.VARIANTS[0] == "digits" or file.stem == "toys"
    with pytest.raises(ValueError, match=f"known are {module.VARIANTS[0]}"):
        module.get_config("nothing")


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """The function from the config of a first stage to the workdir of a run of two steps, which second stages share."""

    @functools.cache
    def train(text):
        config = ConfigDict(json.loads(text))
        config.train.update(steps=2, steps_per_call=1, batch_size=8, log_every=1, checkpoint_every=2, sample_every=0)
        config.sample.update(num=4, batch_size=4)
        config.evals = dict()
        workdir = tmp_path_factory.mktemp("first") / "run"
        gen_jax.main.run(config, workdir)
        return workdir

    return lambda config: train(config.to_json())


@pytest.fixture
def compiled_once(monkeypatch):
    """The runs of a test are of one config: what the first one compiled serves those after it, for the same shapes."""

    def memo(function, what):
        made = {}

        def remembering(*args):
            key = what(*args)
            if key not in made:
                made[key] = function(*args)
            return made[key]

        return remembering

    def shapes(step, state, batch, key, mesh, per_call):
        arrays, structure = jax.tree.flatten((state, batch, key))
        return structure, tuple((a.shape, a.dtype, a.sharding) for a in arrays), mesh, per_call

    def stream(family, info, size, sharding, given):
        return repr(family), size, sharding

    monkeypatch.setattr(parallel, "compile_step", memo(parallel.compile_step, shapes))
    monkeypatch.setattr(loop, "make_stream", memo(loop.make_stream, stream))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_the_default_variant_trains_samples_and_resumes(file, tmp_path, trained_once, compiled_once):
    """Four steps in one go, and once more from the checkpoint of the second one: the same; and samples come of it."""
    config = load(file).get_config()
    config.train.update(batch_size=16, log_every=1, checkpoint_every=2, sample_every=0)
    config.sample.update(num=4, batch_size=4)
    config.evals = dict()  # the last step is evaluated too, and is another one in a run that stops
    config.parallel.data = 1  # families_test.py has the eight devices, and they take turns on the same cores
    for family in (config.family, config.family.get("model", {})):
        if "steps" in family:
            family.steps = 2
    field, first = first_stage(file, config, "digits")
    if field is not None:
        config.family[field].workdir = str(trained_once(first))
    config.train.steps = 4
    workdir = tmp_path / "run"
    whole, whole_metrics = gen_jax.main.run(config, workdir)
    shutil.rmtree(workdir / "checkpoints" / "4")  # as if it had been stopped before that was written
    resumed, metrics = gen_jax.main.run(config, workdir)

    assert list(metrics["step"]) == [1, 2, 3, 4]
    for name in set(metrics) - {"images_per_second"}:
        np.testing.assert_array_equal(metrics[name], whole_metrics[name])
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), resumed, whole))
    samples = gen_jax.sample.run(workdir, num=3)
    info = DATA[data_of(config)]
    assert samples["x"].shape == (3, *info.shape)
    assert samples["x"].dtype == info.dtype
    assert (workdir / "samples" / "step_00000004.png").stat().st_size > 0


def test_a_first_stage_is_seen_and_measured_by_its_reconstructions(tmp_path):
    """Of the test split, or of the user's images; each against its own original. Draws from the prior are asked for."""
    config = load(CONFIGS / "vae" / "vq_vae.py").get_config()
    config.train.update(steps=2, batch_size=8, log_every=1, checkpoint_every=2, sample_every=0)
    config.family.encoder.update(width=8, hidden=4)
    config.family.decoder.update(width=8, hidden=4)
    config.evals = dict()
    gen_jax.main.run(config, tmp_path / "run")
    originals = digits("test").take(np.arange(355))["x"]
    np.savez(tmp_path / "own.npz", x=originals[:3])
    own = gen_jax.sample.run(tmp_path / "run", source=tmp_path / "own.npz")
    usual = gen_jax.sample.run(tmp_path / "run", num=355)
    np.testing.assert_array_equal(own["image"], originals[:3])
    np.testing.assert_array_equal(own["x"], usual["x"][:3])
    np.testing.assert_array_equal(usual["image"], originals)
    assert "image" not in gen_jax.sample.run(tmp_path / "run", num=2, family={"draws": "prior"})
    figures = gen_jax.evaluate.run(tmp_path / "run", evals="psnr")["figures"]
    assert figures["psnr"]["value"] == psnr(usual["x"], originals)["psnr"]
    assert figures["psnr"]["receipt"]["data"]["split"] == "test"


def test_distillation_takes_its_teacher_from_another_run(tmp_path):
    """The teacher stands in extra, as it was trained, and stays as it is; a run of other data is refused."""
    teacher = load(CONFIGS / "diffusion" / "edm.py").get_config()
    student = load(CONFIGS / "diffusion" / "consistency.py").get_config("distill")
    for config in (teacher, student):
        config.train.update(steps=2, batch_size=8, log_every=1, checkpoint_every=2, sample_every=0)
        config.sample.update(num=4, batch_size=4)
    teacher.family.update(steps=2)
    teacher.family.network.width = 8
    student.family.network.update(width=16, depth=1)
    trained, _ = gen_jax.main.run(teacher, tmp_path / "teacher")
    student.family.teacher.workdir = str(tmp_path / "teacher")
    state, _ = gen_jax.main.run(student, tmp_path / "student")
    jax.tree.map(np.testing.assert_array_equal, state.extra["teacher"]["params"], trained.ema)
    assert gen_jax.sample.run(tmp_path / "student", num=2)["x"].shape == (2, 8, 8, 1)
    with pytest.raises(UserError, match=r"was trained on \[8, 8, 1\] and the data is \[28, 28, 1\]"):
        set_up(student.to_dict(), DATA["mnist"])
    student.family.teacher.workdir = str(tmp_path / "nothing")
    with pytest.raises(UserError, match="does not exist"):
        set_up(student.to_dict(), DATA["digits"])


def test_a_student_starts_as_its_teacher_and_leaves_it_as_it_is(tmp_path):
    """Student, its average and the fake are the teacher's averaged parameters before the first step, in arrays of their
    own; after it only the teacher still is."""
    teacher = load(CONFIGS / "quickstart.py").get_config()
    student = load(CONFIGS / "hybrid" / "adversarial_distillation.py").get_config()
    for config in (teacher, student):
        config.train.update(steps=2, batch_size=8, steps_per_call=1, log_every=1, checkpoint_every=2, sample_every=0)
        config.sample.update(num=4, batch_size=4)
    teacher.family.network.update(width=16, depth=1)
    trained, _ = gen_jax.main.run(teacher, tmp_path / "teacher")
    taught = trained.ema["model"]
    student.family.update(features="block_0")
    student.family.teacher.workdir = str(tmp_path / "teacher")
    setup = set_up(student.to_dict(), DATA["digits"])
    state = setup.init(jax.random.key(0), jax.sharding.SingleDeviceSharding(jax.devices()[0]))
    for tree in (state.params["student"], state.params["fake"]["score"], state.ema["student"]):
        jax.tree.map(np.testing.assert_array_equal, tree, taught)
    places = [leaf.unsafe_buffer_pointer() for leaf in jax.tree.leaves((state.params, state.ema, state.extra))]
    assert len(set(places)) == len(places), "a donated array would be used twice"
    state, _ = gen_jax.main.run(student, tmp_path / "student")
    jax.tree.map(np.testing.assert_array_equal, state.extra["teacher"]["params"]["model"], taught)
    assert not np.array_equal(*(jax.tree.leaves(tree)[-1] for tree in (state.params["student"], taught)))
    with pytest.raises(UserError, match="knows 10 classes, and the data has 3"):
        set_up(student.to_dict(), dataclasses.replace(DATA["digits"], class_names=TEN[:3]))
    with pytest.raises(UserError, match=r"was trained on \[8, 8, 1\] and the data is \[28, 28, 1\]"):
        set_up(student.to_dict(), DATA["mnist"])


def test_autoguidance_by_the_model_itself_changes_nothing(tmp_path):
    """Another run's model may guide; an earlier checkpoint of the run does."""
    config = load(CONFIGS / "diffusion" / "edm.py").get_config()
    config.train.update(steps=4, batch_size=8, log_every=2, checkpoint_every=2, sample_every=0)
    config.sample.update(num=4, batch_size=4)
    config.family.update(steps=3)
    config.family.network.width = 8
    gen_jax.main.run(config, tmp_path)

    def guided(**weak):
        guidance = {"auto": {"name": "diffusion.autoguidance", "scale": 3.0}}
        family = {"guidance": guidance, "weak": {"workdir": str(tmp_path), **weak}}
        return gen_jax.sample.run(tmp_path, num=4, family=family)["x"].astype(int)

    alone = gen_jax.sample.run(tmp_path, num=4)["x"].astype(int)
    assert np.abs(guided() - alone).max() <= 1
    assert np.abs(guided(checkpoint=2) - alone).max() > 1


def test_adaptive_augmentation_goes_on_where_a_run_was_stopped(tmp_path):
    """Its probability, and what it has seen since it moved last, are in the checkpoint."""
    config = load(CONFIGS / "gan" / "vanilla.py").get_config()
    config.train.update(batch_size=16, steps_per_call=1, log_every=1, checkpoint_every=3, sample_every=0)
    config.sample.update(num=4, batch_size=4)
    config.family.augment = dict(name="losses.diff_augment", policy=("translation",))
    config.family.adaptive = dict(name="losses.AdaptiveProbability", target=-0.99, interval=2, images=320)
    config.train.steps = 3
    gen_jax.main.run(config, tmp_path / "resumed")
    config.train.steps = 6
    (tmp_path / "resumed" / "config.json").write_text(config.to_json())
    resumed, metrics = gen_jax.main.run(config, tmp_path / "resumed")
    whole, _ = gen_jax.main.run(config, tmp_path / "whole")
    np.testing.assert_allclose(metrics["disc/augment_p"], [0, 0.1, 0.1, 0.2, 0.2, 0.3], rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, resumed.extra, whole.extra)
    jax.tree.map(np.testing.assert_array_equal, resumed.params, whole.params)


def test_an_average_of_any_width_is_made_after_training(tmp_path):
    """From the snapshots of a run; for a width that was tracked it is that track."""
    config = load(CONFIGS / "gan" / "vanilla.py").get_config()
    config.train.update(steps=6, batch_size=16, steps_per_call=2, log_every=2, checkpoint_every=6, sample_every=0)
    config.ema = dict(gen=dict(stds=(0.05, 0.1), every=2))
    config.sample.update(num=4, batch_size=4)
    state, _ = gen_jax.main.run(config, tmp_path)
    assert set(state.ema) == {"gen", "gen@0.1"}
    assert sorted(p.name for p in (tmp_path / "snapshots").iterdir()) == ["2", "4", "6"]
    plain, same, other = (gen_jax.sample.run(tmp_path, num=4, ema=std)["x"].astype(int) for std in (None, 0.05, 0.2))
    np.testing.assert_allclose(same, plain, atol=1)
    assert np.abs(other - plain).max() > 1
    with pytest.raises(UserError, match=r"--ema=0\.9: it must be"):
        gen_jax.sample.run(tmp_path, num=4, ema=0.9)
