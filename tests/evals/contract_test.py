"""The contract that every metric keeps, and how specs become metrics."""

import inspect
import re
import sys

import pytest

from gen_jax.errors import UserError
from gen_jax.evals.metrics import INPUTS, find_metric, find_metrics, metrics


@pytest.mark.parametrize("name", sorted(metrics()))
def test_a_metric_keeps_the_contract(name):
    metric = find_metric(name)
    module = sys.modules[metric.function.__module__]
    assert isinstance(module.VERSION, int)
    assert metric.inputs
    assert set(metric.inputs) <= set(INPUTS)
    assert inspect.getdoc(metric.function)
    assert all(
        value is None or isinstance(value, str | int | float | bool | tuple) for value in metric.settings.values()
    )


def test_a_spec_sets_a_metric_and_leaves_the_rest_at_its_default():
    assert find_metric({"name": "evals.prdc", "k": 3}).settings == {"k": 3}
    assert find_metric("prdc").settings == {"k": 5}
    assert find_metric("memorization").needs == ("x", "train_x", "test_x")
    assert "label" in find_metric("label_agreement").takes, "samples of unconditional models have none"
    assert find_metric("fid").featured
    assert not find_metric("memorization").featured


def test_the_command_names_metrics_or_gives_specs():
    assert [metric.name for metric in find_metrics("fid, prdc,")] == ["fid", "prdc"]
    assert find_metrics('[{"name": "prdc", "k": 3}]')[0].settings == {"k": 3}
    assert find_metrics(["fid", {"name": "kid"}])[1].name == "kid"


@pytest.mark.parametrize(
    ("evals", "says"),
    [
        ("clip_score", "call it from Python, gen_jax.evals.clip_score.clip_score"),
        ("fdi", "unknown metric 'fdi': did you mean 'fid'"),
        ([{"name": "prdc", "n": 3}], "unknown setting of metric prdc 'n'"),
        ([{"name": "fid", "features": 3}], "unknown setting of metric fid 'features'"),
        ([{"k": 3}], "needs a 'name', this one has: k"),
        ("fid,fid", "asked for twice"),
        ("", "name at least one"),
        ("[3]", "neither a metric's name nor a spec"),
        ('[{"name"]', "is not JSON"),
    ],
)
def test_what_is_no_metric_is_named(evals, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        find_metrics(evals)
    assert "\n" not in str(error.value)
