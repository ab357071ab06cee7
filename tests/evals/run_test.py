"""What metrics are given, what their figures are called, and what is left out and why."""

import gc
import weakref

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.data.memory import InMemory
from gen_jax.errors import UserError, unknown
from gen_jax.evals.choose import Choice
from gen_jax.evals.features.extract import Network
from gen_jax.evals.frechet import fid, statistics
from gen_jax.evals.metrics import Metric
from gen_jax.evals.reference import Reference
from gen_jax.evals.run import Samples, evaluate, figure_name
from gen_jax.types import DataInfo

RNG = np.random.default_rng(0)
INFO = DataInfo((4, 4, 1), tuple("abc"))
TRAIN, TEST, X = (RNG.integers(0, 256, (n, 4, 4, 1), np.uint8) for n in (40, 20, 25))
LABEL = np.arange(40) % 3
ASKED = LABEL[: len(X)]


def load(split):
    if split not in ("train", "test"):
        raise unknown("split", split, ["train", "test"])
    x = TRAIN if split == "train" else TEST
    return InMemory(INFO, {"x": x, "label": LABEL[: len(x)]})


def embed(x):
    flat = x.reshape(len(x), -1).astype(jnp.float32) / 255
    return jnp.stack([flat.mean(1), flat[:, 3]], axis=1), flat[:, :3]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("GEN_JAX_CACHE", str(tmp_path))


@pytest.fixture
def reference():
    return Reference("digits", load)


@pytest.fixture
def network():
    return Choice("own", lambda: Network("own", "00" * 32, "none", embed, 2))


def samples(x=X, size=10, label=ASKED, info=INFO, drawn=None):
    def chunks():
        if drawn is not None:
            drawn.append(True)
        for i in range(0, len(x), size):
            yield {"x": x[i : i + size]} | ({} if label is None else {"label": label[i : i + size]})

    return Samples(chunks, len(x), info, {"seed": 0}, checkpoint=7)


def metric(function, *needs, takes=(), name="m"):
    return Metric(name, function, {}, needs, takes, 1)


def test_every_input_is_what_its_name_says(reference, network):
    seen = {}

    def look(**given):
        seen.update(given)
        return {"seen": 1.0}

    names = ("x", "features", "logits", "run")
    names += tuple(f"{split}_{what}" for split in ("real", "train", "test") for what in ("x", "label", "features"))
    evaluate([metric(look, *names, "real_statistics", takes=("label",))], samples(), reference, network, opened="run")
    for name, x in (("", X), ("real_", TRAIN), ("train_", TRAIN), ("test_", TEST)):
        np.testing.assert_array_equal(seen[f"{name}x"], x)
        np.testing.assert_allclose(seen[f"{name}features"], embed(x)[0], atol=1e-6)
        np.testing.assert_array_equal(seen[f"{name}label"], LABEL[: len(x)])
    np.testing.assert_allclose(seen["logits"], embed(X)[1], atol=1e-6)
    np.testing.assert_allclose(seen["real_statistics"].cov, statistics(seen["real_features"]).cov, rtol=1e-6)
    assert seen["run"] == "run"
    assert seen["features"].dtype == np.float32


def test_reference_inputs_are_of_the_split_that_is_asked_for(network):
    def count(real_x, real_features, train_x):
        return {"real": len(real_x), "features": len(real_features), "train": len(train_x)}

    against = Reference("digits", load, split="test")
    asked = metric(count, "real_x", "real_features", "train_x")
    found = evaluate([asked], samples(), against, network)["figures"]
    assert [found[f"{name}_own"]["value"] for name in ("real", "features", "train")] == [20, 20, 40]
    assert found["real_own"]["receipt"]["data"]["split"] == "train+test"


@pytest.mark.parametrize("size", [1, 7, 25])
def test_figures_do_not_depend_on_how_samples_are_cut(reference, network, size):
    one = metric(fid, "features", "real_statistics", name="fid")
    a = evaluate([one], samples(), reference, network)["figures"]["fid_own"]["value"]
    b = evaluate([one], samples(size=size), reference, network)["figures"]["fid_own"]["value"]
    assert a == pytest.approx(b, rel=1e-6)


def test_figures_are_named_after_the_network_and_have_receipts(reference, network):
    plain = metric(lambda x: {"mean": float(x.mean())}, "x", name="pixels")
    deep = metric(lambda features: {"width": 2.0, "width/low": 1.0}, "features", name="depth")
    found = evaluate([plain, deep], samples(), reference, network)
    assert list(found["figures"]) == ["mean", "width_own", "width_own/low"]
    receipt = found["figures"]["width_own/low"]["receipt"]
    assert receipt["metric"] == "depth"
    assert receipt["features"] == {"network": "own", "hash": "00" * 32, "resize": "none"}
    assert receipt["data"]["count"] == 40
    assert receipt["samples"] == {"count": 25, "dtype": "uint8", "seed": 0}
    assert receipt["checkpoint"] == 7
    assert found["figures"]["mean"]["receipt"]["features"] is None
    assert set(found["cost"]) == {"sample_seconds", "feature_seconds", "reference_seconds", "metric_seconds"}
    assert figure_name("fid/low", "inception") == "fid/low"
    assert figure_name("fid/low", "dinov2") == "fid_dinov2/low"


def test_samples_are_drawn_once_and_images_kept_only_for_metrics_that_see_them(reference, network):
    drawn, alive = [], []

    def chunks():
        drawn.append(True)
        for i in range(5):
            x = np.full((10, 4, 4, 1), i, np.uint8)
            alive.append(weakref.ref(x))
            yield {"x": x}

    def count(features):
        gc.collect()
        return {"alive": float(sum(ref() is not None for ref in alive)), "n": float(len(features))}

    endless = Samples(chunks, 50, INFO, {})
    found = evaluate([metric(count, "features")], endless, reference, network)["figures"]
    assert (found["n_own"]["value"], len(drawn)) == (50, 1)
    assert found["alive_own"]["value"] <= 1, "at most the last one, which the loop still holds"
    both = [metric(count, "features"), metric(lambda x: {"x": float(len(x))}, "x", name="other")]
    found = evaluate(both, endless, reference, network)["figures"]
    assert (found["x"]["value"], len(drawn)) == (50, 2)


def test_what_cannot_be_had_is_left_out_or_stops(reference, network):
    needs_run = metric(lambda run: {"run": 1.0}, "run", name="ppl")
    fine = metric(lambda x: {"mean": 1.0}, "x", name="fine")
    found = evaluate([needs_run, fine], samples(), reference, network, lenient=True)
    assert list(found["figures"]) == ["mean"]
    assert "needs the model" in found["left_out"]["ppl"]
    with pytest.raises(UserError, match="metric ppl: it needs the model"):
        evaluate([needs_run, fine], samples(), reference, network)
    with pytest.raises(UserError, match="none of the metrics can be computed: ppl: it needs"):
        evaluate([needs_run], samples(), reference, network, lenient=True)

    def refuse(x):
        raise UserError("too few")

    assert (
        evaluate([metric(refuse, "x"), fine], samples(), reference, network, lenient=True)["left_out"]["m"] == "too few"
    )
    with pytest.raises(UserError, match="too few"):
        evaluate([metric(refuse, "x")], samples(), reference, network)


def test_labels_are_none_where_nothing_was_asked_for(reference):
    def look(label, test_x="default"):
        return {"none": float(label is None), "default": float(isinstance(test_x, str))}

    def only_train(split):
        if split != "train":
            raise UserError(f"there is no {split} split")
        return load(split)

    look = metric(look, takes=("label", "test_x"))
    found = evaluate([look], samples(label=None), reference, None)["figures"]
    assert (found["none"]["value"], found["default"]["value"]) == (1, 0)
    found = evaluate([look], samples(), Reference("mine", only_train), None)["figures"]
    assert (found["none"]["value"], found["default"]["value"]) == (0, 1)
    with pytest.raises(UserError, match="metric m: there is no test split"):
        evaluate([metric(look.function, "test_x")], samples(), Reference("mine", only_train), None)


def test_data_without_labels_or_images_or_classes(network):
    unlabelled = Reference("mine", lambda split: InMemory(DataInfo((4, 4, 1)), {"x": TRAIN}))
    with pytest.raises(UserError, match="mine has no labels"):
        evaluate([metric(lambda real_label: {}, "real_label")], samples(), unlabelled, network)
    with pytest.raises(UserError, match="mine has no labels to train a classifier on"):
        evaluate([metric(lambda logits: {}, "logits")], samples(), unlabelled, network)
    with pytest.raises(UserError, match="DINOv2 gives features only"):
        evaluate([metric(lambda logits: {}, "logits")], samples(), unlabelled, Choice("dinov2", lambda: None))
    with pytest.raises(UserError, match="features, which are of images"):
        evaluate([metric(lambda features: {}, "features")], samples(), unlabelled, None)


@pytest.mark.parametrize(
    ("info", "says"),
    [
        (DataInfo((8, 8, 1)), "8x8x1 and digits is 4x4x1"),
        (DataInfo((4, 4, 3)), "4x4x3 and digits is 4x4x1"),
        (DataInfo((4, 4, 1), dtype="float32"), "float32 and digits is uint8"),
    ],
)
def test_samples_of_another_form_are_refused_before_they_are_drawn(reference, network, info, says):
    drawn = []
    with pytest.raises(UserError, match=says):
        evaluate([metric(lambda x: {}, "x")], samples(info=info, drawn=drawn), reference, network)
    assert not drawn


def test_two_metrics_with_one_figure_are_refused(reference):
    twice = [metric(lambda x: {"a": 1.0}, "x", name=name) for name in ("one", "two")]
    with pytest.raises(UserError, match="two metrics have a figure a"):
        evaluate(twice, samples(), reference, None)
