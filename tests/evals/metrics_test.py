"""What all metrics have in common: their signatures, and how they refuse arrays that they cannot serve."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import gen_jax.evals
from gen_jax.errors import UserError
from gen_jax.evals.checks import check_features, check_images, check_labels, check_pairs
from gen_jax.evals.metrics import INPUTS, metrics

METRICS = metrics()


def test_all_are_there():
    expected = "fid fid_infinity kid inception_score prdc sliced_wasserstein mmd vendi classification_accuracy "
    expected += "label_agreement modes point_modes sample_distance memorization ppl bits_per_dim psnr ssim lpips fad "
    expected += "translation_error"
    assert set(METRICS) == set(expected.split())


@pytest.mark.parametrize("name", METRICS)
def test_inputs_come_before_settings_and_a_name_alone_is_a_spec(name):
    signature = inspect.signature(METRICS[name])
    for argument, parameter in signature.parameters.items():
        assert (argument in INPUTS) == (parameter.kind is not parameter.KEYWORD_ONLY)
        if argument not in INPUTS:
            assert parameter.default is not parameter.empty
    assert signature.return_annotation == dict[str, float]


def test_the_table_names_every_file():
    files = {Path(inspect.getfile(metric)).stem for metric in METRICS.values()}
    assert not [file for file in files if file not in gen_jax.evals.__doc__]


ROWS, IMAGES = np.zeros((3, 4), np.float32), np.zeros((3, 2, 2, 1), np.uint8)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:1], "m: 1 samples; needed: 2 or more"),
        (ROWS.astype(int), r"samples are int64 \[3, 4\]; needed: floats"),
        (ROWS[:, :, None], r"float32 \[3, 4, 1\]"),
        (np.where(np.eye(3, 4) > 0, np.nan, 0), "3 of 3 samples are not finite"),
        (np.where(np.arange(3)[:, None] == 1, np.inf, ROWS), "1 of 3"),
        (ROWS[:, :3], "samples 3 wide, real 4 wide; take both from one feature network"),
    ],
)
def test_features_are_checked(rows, message):
    with pytest.raises(UserError, match=message) as error:
        check_features("m", 2, {"samples": rows, "real": ROWS})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (IMAGES[:1], "m: 1 samples; needed: 2 or more"),
        (IMAGES.astype(np.float32) - 1, "samples are float32 from -1 to -1; needed: uint8, 0 to 255"),
        (IMAGES[:, 1:], r"samples of shape \[3, 1, 2, 1\], real of shape \[3, 2, 2, 1\]"),
        (np.repeat(IMAGES, 3, -1), "one size and number of channels"),
    ],
)
def test_images_are_checked(x, message):
    with pytest.raises(UserError, match=message) as error:
        check_images("m", 2, {"samples": x, "real": IMAGES})
    assert "\n" not in str(error.value)


def test_pairs_and_labels_are_checked():
    with pytest.raises(UserError, match="image i with original i"):
        check_pairs("m", IMAGES, IMAGES[:2])
    with pytest.raises(UserError, match="have no labels"):
        check_labels("m", "samples", IMAGES, None)
    with pytest.raises(UserError, match="3 samples and 2 labels"):
        check_labels("m", "samples", IMAGES, np.zeros(2, int))
    with pytest.raises(UserError, match="float64"):
        check_labels("m", "samples", IMAGES, np.zeros(3))
