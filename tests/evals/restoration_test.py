"""PSNR, SSIM and LPIPS: image i against original i."""

from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.evals import lpips as lpips_module
from gen_jax.evals.lpips import lpips
from gen_jax.evals.psnr import psnr
from gen_jax.evals.ssim import ssim

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))
PAIR = REFERENCE["images"], REFERENCE["originals"]


def flat(value, n=2, side=12):
    return np.full((n, side, side, 3), value, np.uint8)


def test_agrees_with_scikit_image():
    assert psnr(*PAIR)["psnr"] == pytest.approx(float(REFERENCE["psnr"]), rel=1e-9)
    assert ssim(*PAIR)["ssim"] == pytest.approx(float(REFERENCE["ssim"]), rel=1e-9)


def test_psnr_by_hand():
    # One level off everywhere: 20 log10 255. All of the range: 0.
    assert psnr(flat(7), flat(8))["psnr"] == pytest.approx(20 * np.log10(255))
    assert psnr(flat(0), flat(255))["psnr"] == pytest.approx(0)
    both = np.concatenate([flat(0), flat(7)]), np.concatenate([flat(255), flat(8)])
    assert psnr(*both)["psnr"] == pytest.approx(10 * np.log10(255))  # the mean of the images' ratios


def test_equal_images_have_the_best_psnr_that_is_a_number():
    near = flat(8)
    near[:, 3, 4, 1] += 1
    assert psnr(flat(8), flat(8)) == psnr(near, flat(8)) == {"psnr": pytest.approx(10 * np.log10(255**2 * 432))}


def test_equal_images_have_ssim_1():
    assert ssim(PAIR[0], PAIR[0])["ssim"] == pytest.approx(1)
    assert ssim(*PAIR)["ssim"] == pytest.approx(ssim(*PAIR[::-1])["ssim"])


def test_ssim_of_flat_images():
    # Without variance there is the first factor alone.
    c1 = 2.55**2
    assert ssim(flat(50), flat(100))["ssim"] == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1))


def test_ssim_of_a_negative_is_below_0():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (1, 30, 30, 1), dtype=np.uint8)
    assert ssim(255 - x, x)["ssim"] < -0.5


def test_lpips_goes_in_batches_and_in_minus_1_to_1(monkeypatch):
    seen = []

    def network(net, weights, linear):
        seen.append((net, weights, linear))
        return SimpleNamespace(variables=2.0, forward=lambda v, a, b: v * jnp.abs(a - b).mean(axis=(1, 2, 3)))

    monkeypatch.setattr(lpips_module.perceptual, "lpips", network)
    x, real_x = np.concatenate([flat(0, 4), flat(255, 3)]), np.concatenate([flat(0, 5), flat(0, 2)])
    assert lpips(x, real_x, batch_size=3, net="vgg") == {"lpips": pytest.approx(3 / 7 * 2 * 2)}
    assert seen == [("vgg", None, None)]


def test_mistakes_are_named():
    for metric in (psnr, ssim, lpips):
        with pytest.raises(UserError, match="image i with original i"):
            metric(flat(0), flat(0, 3))
        with pytest.raises(UserError, match="float64 from 0 to 0"):
            metric(flat(0) / 255, flat(0))
    with pytest.raises(UserError, match="8 x 8; its window needs 11 x 11"):
        ssim(flat(0, side=8), flat(0, side=8))
