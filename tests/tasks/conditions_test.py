"""What samples are asked for: conditions from labels, data, files; and how they go through drawing and evaluation."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import gen_jax.evaluate
import gen_jax.main
import gen_jax.sample
from gen_jax.cli import load_config
from gen_jax.data.memory import InMemory
from gen_jax.data.pairs import pairs
from gen_jax.errors import UserError
from gen_jax.evals.metrics import find_metrics
from gen_jax.evals.reference import Reference
from gen_jax.evals.run import Samples, evaluate
from gen_jax.evals.translation_error import translation_error
from gen_jax.tasks.conditions import conditions, in_turn, of_files, of_source
from gen_jax.tasks.generation import make_generate
from gen_jax.training.setup import example_batch, set_up
from gen_jax.training.workdir import data_info, describe
from gen_jax.training.writers import arranged, make_grid
from gen_jax.types import DataInfo, TrainState

INFO = DataInfo((8, 8, 1), tuple("0123456789"), conditions={"image": ((8, 8, 1), "uint8")})
DATA = {"name": "pairs", "kind": "inverted", "paired": False}


@dataclasses.dataclass(frozen=True)
class Negative:
    """A family whose samples are minus the image: right for inverted pairs, to the last bit."""

    cond_keys: tuple[str, ...] = ("image",)

    def sample(self, params, extra, keys, cond):
        assert cond["image"].dtype == jnp.float32
        return -cond["image"]


STATE = TrainState(jnp.int32(0), {}, {}, {}, {})


def test_samples_are_made_of_the_test_split_in_order():
    test = pairs("test", kind="inverted").take(np.arange(355))
    given = conditions(Negative(), INFO, DATA)
    assert given.count == 355
    assert given.names == ("image", "label", "target")
    for batch_size in (4, 7):
        found = make_generate(Negative(), INFO, batch_size, given=given)(STATE, 10)
        np.testing.assert_array_equal(found["image"], test["image"][:10])
        np.testing.assert_array_equal(found["x"], test["x"][:10])
        np.testing.assert_array_equal(found["target"], test["x"][:10])
        np.testing.assert_array_equal(found["label"], test["label"][:10])
    around = given.read(np.array([354, 355, 356]))
    np.testing.assert_array_equal(around["image"], test["image"][[354, 0, 1]])


def test_what_is_asked_of_others():
    assert conditions(Negative(()), INFO).names == ()
    labelled = conditions(Negative(("label",)), INFO)
    np.testing.assert_array_equal(labelled.read(np.arange(9, 12))["label"], [9, 0, 1])
    assert (labelled.count, labelled.names) == (in_turn(10).count, ("label",))
    with pytest.raises(UserError, match="a Negative reads image: give data"):
        conditions(Negative(), INFO)
    with pytest.raises(UserError, match="examples have x, label, and the model reads image too"):
        conditions(Negative(), INFO, {"name": "digits"})
    unpaired = of_source(pairs(paired=False), ("image",))
    assert "target" not in unpaired.names
    both = of_source(pairs(), ("image", "label"))
    assert both.names == ("image", "label", "target")


def test_sources_of_the_user(tmp_path):
    for i in range(3):
        Image.new("RGB", (20, 12), (60 * i,) * 3).save(tmp_path / f"{i}.png")
    given = of_files(str(tmp_path), Negative(), INFO)
    assert (given.count, given.names) == (3, ("image",))
    np.testing.assert_array_equal(given.read(np.arange(4))["image"][:, 0, 0, 0], [0, 60, 120, 0])
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    for name in ("x", "image"):
        np.savez(tmp_path / "a.npz", **{name: image})
        given = of_files(str(tmp_path / "a.npz"), Negative(), INFO)
        np.testing.assert_array_equal(given.read(np.array([4, 5]))["image"], image[[4, 0]])
    for fields, cond_keys, message in (
        ({"image": image.astype(np.float32)}, ("image",), r"image is float32 .* trained on uint8 \[n, 8, 8, 1\]"),
        ({"image": image[:, :4]}, ("image",), r"image is uint8 \[5, 4, 8, 1\]"),
        ({"y": image}, ("image",), "it has no image"),
        ({"image": image}, ("image", "mask"), "it has no mask, which the model reads"),
        ({"image": image, "mask": image[:3]}, ("image", "mask"), "mask has 3 entries and image 5"),
    ):
        np.savez(tmp_path / "b.npz", **fields)
        with pytest.raises(UserError, match=message):
            of_files(str(tmp_path / "b.npz"), Negative(cond_keys), INFO)
    with pytest.raises(UserError, match="leave --source out"):
        of_files(str(tmp_path), Negative(("label",)), INFO)
    with pytest.raises(UserError, match="no such file"):
        of_files(str(tmp_path / "c.npz"), Negative(), INFO)
    with pytest.raises(UserError, match=r"the model reads mask too; give an \.npz"):
        of_files(str(tmp_path), Negative(("image", "mask")), INFO)


def test_a_family_sees_an_example_in_the_form_that_the_data_have():
    info = dataclasses.replace(INFO, conditions={**INFO.conditions, "mask": ((8, 8, 1), "uint8")})
    example = example_batch(info, ("label", "image", "mask"))
    assert {k: (v.shape, v.dtype.name) for k, v in example.items()} == {
        "x": ((1, 8, 8, 1), "float32"),
        "label": ((1,), "int32"),
        "image": ((1, 8, 8, 1), "float32"),
        "mask": ((1, 8, 8, 1), "uint8"),
    }
    with pytest.raises(UserError, match=r"conditional on 'mask', and the data's examples have only: x, label, image$"):
        example_batch(INFO, ("mask",))
    assert data_info(describe({}, info)) == info
    assert data_info({"data": {"shape": [4], "class_names": [], "dtype": "float32"}}) == DataInfo((4,), (), "float32")


def test_a_grid_shows_image_sample_and_target_side_by_side():
    n = 5
    image, target = np.full((n, 4, 4, 1), 10, np.uint8), np.full((n, 8, 8, 3), 30, np.uint8)
    x = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8) + 100
    shown, columns = arranged({"x": x, "image": image, "target": target}, 0)
    assert columns % 3 == 0
    assert shown.shape == (3 * n, 8, 8, 3)
    np.testing.assert_array_equal(shown[:, 0, 0, 0], np.ravel([(10, 100 + i, 30) for i in range(n)]))
    assert make_grid(shown, columns).ndim == 3
    assert arranged({"x": x}, 0) == (pytest.approx(x), 3)


def test_evaluation_compares_each_sample_with_its_own_target():
    given = conditions(Negative(), INFO, DATA)
    generate = make_generate(Negative(), INFO, 8, given=given)

    def samples(fields):
        return Samples(lambda: iter([generate(STATE, 20)]), 20, INFO, {}, 1, fields)

    reference = Reference("pairs", lambda split: pairs(split, kind="inverted"))
    figures = evaluate(find_metrics("translation_error"), samples(given.names), reference, None)["figures"]
    assert figures["translation_error"]["value"] == 0
    assert figures["translation_error/identity"]["value"] > 0.5
    assert figures["translation_error/ratio"]["value"] == 0
    with pytest.raises(UserError, match="translation_error: it compares with the known answer"):
        evaluate(find_metrics("translation_error"), samples(()), reference, None)


def test_translation_error_by_hand():
    target, image = np.full((2, 2, 2, 1), 51, np.uint8), np.full((2, 2, 2, 1), 255, np.uint8)
    x = target.copy()
    x[0] = 0
    found = translation_error(x, target, image)
    np.testing.assert_allclose(found["translation_error"], 0.1)
    np.testing.assert_allclose(found["translation_error/identity"], 0.8)
    np.testing.assert_allclose(found["translation_error/ratio"], 0.125)
    assert set(translation_error(x, target, image[:, :1])) == {"translation_error"}
    assert set(translation_error(x, target, target)) == {"translation_error", "translation_error/identity"}
    with pytest.raises(UserError, match="compares image i with original i"):
        translation_error(x[:1], target, image)


@pytest.mark.slow
def test_translations_are_measured_in_training_and_afterwards_both_ways(tmp_path):
    """The best checkpoint by the error; and the same run evaluated in the other direction, with its data turned."""
    config = load_config(str(Path(__file__).parents[2] / "configs" / "gan" / "cyclegan.py"))
    config.train.update(steps=2, batch_size=8, log_every=1, checkpoint_every=2, sample_every=0)
    config.sample.update(num=4, batch_size=32)
    config.family.generator.update(width=4, blocks=1)
    config.family.discriminator.width = 4
    metrics = dict(error=dict(name="evals.translation_error"))
    config.evals = dict(every=1, num=40, metrics=metrics, best=dict(figure="translation_error", mode="min"))
    _, rows = gen_jax.main.run(config, tmp_path)
    assert np.isfinite(rows["evals/translation_error"]).all()
    assert len(rows["evals/translation_error/ratio"]) == 2
    there, back = (
        gen_jax.evaluate.run(tmp_path, "translation_error", family=family)["figures"]
        for family in (None, {"direction": "BA"})
    )
    assert there["translation_error"]["receipt"]["samples"]["count"] == 355
    assert there["translation_error/identity"]["value"] == back["translation_error/identity"]["value"]
    assert there["translation_error"]["value"] != back["translation_error"]["value"]
    assert back["translation_error"]["receipt"]["samples"]["direction"] == "BA"
    drawn = gen_jax.sample.run(tmp_path, num=3, family={"direction": "BA"})
    np.testing.assert_array_equal(drawn["image"], 255 - drawn["target"])
    np.testing.assert_array_equal(drawn["target"], pairs("test").take(np.arange(3))["image"])


def test_unpaired_labels_are_refused():
    spec = {
        "name": "families.CycleGAN",
        "generator": {"name": "nn.ResNetTranslator", "width": 2, "downs": 0, "blocks": 1},
        "discriminator": {"name": "nn.PatchDiscriminator", "width": 2, "layers": 1},
        "conditioning": {"name": "nn.Conditioning", "width": 4, "num_classes": None},
        "loss": {"name": "losses.least_squares"},
    }
    adam = {"name": "adam", "learning_rate": 1e-3}
    config = {"family": spec, "optim": {"disc": adam, "gen": adam}, "ema": {}}
    assert jax.tree.leaves(set_up(config, INFO).shapes.params)
    with pytest.raises(UserError, match="conditional on a label, and unpaired data have one for x"):
        set_up(config, dataclasses.replace(INFO, paired=False))


def test_conditions_without_a_take_are_read_one_by_one():
    class Slow:
        info = dataclasses.replace(INFO, class_names=())

        def __init__(self):
            x = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
            self._all = InMemory(self.info, {"x": x, "image": x + 10})

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return self._all[index] | {"caption": "text"}

    found = of_source(Slow(), ("image",)).read(np.array([2, 3]))
    np.testing.assert_array_equal(found["image"].ravel(), [12, 10])
    np.testing.assert_array_equal(found["target"].ravel(), [2, 0])
