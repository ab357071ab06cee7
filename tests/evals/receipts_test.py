"""Receipts tell which figures compare, and say in what others differ."""

import copy
import json

import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.evals.metrics import find_metric
from gen_jax.evals.receipts import describe_family, differences, make_receipt

NETWORK = {"network": "own", "hash": "ab" * 32, "resize": "none"}
DATA = {"name": "digits", "split": "train", "hash": "cd" * 32, "count": 1442}
DRAWN = {"count": 1000, "dtype": "uint8", "seed": 0, "sampler": "Heun", "steps": 16}


@pytest.fixture
def receipt():
    return make_receipt(find_metric("prdc"), network=NETWORK, data=DATA, drawn=DRAWN, checkpoint=500)


def changed(receipt, field, value):
    """A copy with another value of a field."""
    other = copy.deepcopy(receipt)
    *path, last = field.split(".")
    at = other
    for name in path:
        at = at[name]
    at[last] = value
    return other


def test_a_receipt_is_json_and_complete(receipt):
    assert json.loads(json.dumps(receipt)) == receipt
    assert receipt["settings"] == {"k": 5}
    assert receipt["version"] == 1
    assert receipt["code"].startswith("0.")
    assert "cpu" in receipt["device"]
    assert receipt["date"].endswith("+00:00")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metric", "fid"),
        ("version", 2),
        ("settings.k", 3),
        ("features.network", "inception"),
        ("features.hash", "ef" * 32),
        ("features.resize", "clean"),
        ("data.hash", "ef" * 32),
        ("samples.count", 50_000),
        ("samples.dtype", "float32"),
    ],
)
def test_what_must_agree_is_named_with_both_values(receipt, field, value):
    (found,) = differences(receipt, changed(receipt, field, value))
    assert found.startswith(f"{field} is ")
    for text in (receipt, changed(receipt, field, value)):
        for name in field.split("."):
            text = text[name]
        assert str(text)[:12] in found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("samples.seed", 1), ("samples.sampler", "DDIM"), ("samples.steps", 50), ("checkpoint", 1000)),
        *(("code", "0.2.0"), ("device", "1 x TPU"), ("date", "2026-01-01")),
        ("settings.batch_size", 7),  # how it is computed, not what
        *(("data.name", "my digits"), ("data.split", "all")),  # the content is the same
    ],
)
def test_what_may_differ_does(receipt, field, value):
    assert differences(receipt, changed(receipt, field, value)) == []


def test_a_metric_without_features_differs_from_one_with(receipt):
    assert "features.network is own and not given" in differences(receipt, changed(receipt, "features", None))


def test_a_family_is_described_by_how_it_draws():
    spec = {
        "name": "families.Diffusion",
        "network": {"name": "nn.MLP", "features": (4,)},
        "conditioning": {"name": "nn.Conditioning", "width": 4, "num_classes": 10},
        "schedule": {"name": "diffusion.RectifiedFlow"},
        "parameterization": {"name": "diffusion.flow"},
        "sampler": {"name": "diffusion.EDMStochastic", "gamma": 0.25},
        "guidance": {"cfg": {"name": "diffusion.classifier_free", "scale": 1.5}},
        "cond_drop": 0.1,
        "steps": 3,
    }
    found = describe_family(build(gen_jax, spec, shape=(2, 2, 1), num_classes=10))
    assert found["sampler"] == "EDMStochastic(gamma=0.25)"
    assert found["guidance"] == {"cfg": "classifier_free(scale=1.5)"}
    assert found["steps"] == 3
    assert json.loads(json.dumps(found)) == found
