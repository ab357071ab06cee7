import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gen_jax.errors import UserError
from gen_jax.evals import frechet
from gen_jax.evals.frechet import Statistics, fid, fid_infinity, frechet_distance, merge, statistics

REFERENCE = np.load(Path(__file__).with_name("reference.npz"))


def normal(d, scale=1.0, shift=0.0, count=10_000):
    return Statistics(np.full(d, shift), scale**2 * np.eye(d), count)


def covariance(rng, d, rank=None):
    root = rng.standard_normal((d, rank or d))
    return root @ root.T / d


@pytest.mark.parametrize("package", ["pytorch_fid", "torch_fidelity"])
def test_agrees_with_other_programs(package):
    a, b = (Statistics(REFERENCE[f"mean_{i}"], REFERENCE[f"cov_{i}"], 300) for i in "ab")
    assert frechet_distance(a, b) == pytest.approx(float(REFERENCE[f"fid_{package}"]), rel=1e-6)


@given(st.integers(1, 20), st.floats(0.1, 10), st.floats(-3, 3))
def test_isotropic_normals(d, scale, shift):
    # |m|^2 + d (s - 1)^2
    expected = d * (shift**2 + (scale - 1) ** 2)
    assert frechet_distance(normal(d), normal(d, scale, shift)) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.integers(0, 1000))
def test_two_dimensions(seed):
    # tr A^(1/2) = (tr A + 2 det A^(1/2))^(1/2) for the 2x2 A = S1 S2.
    rng = np.random.default_rng(seed)
    a, b = (Statistics(rng.standard_normal(2), covariance(rng, 2), 10) for _ in range(2))
    product = a.cov @ b.cov
    cross = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(a.cov) * np.linalg.det(b.cov)))
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6, abs=1e-7)


def spectrum(rng, d, power):
    """Rows' covariance with the eigenvalues 10 / i^power, as those of Inception's features fall."""
    q, _ = np.linalg.qr(rng.standard_normal((d, d)))
    return (q * (10 * np.arange(1, d + 1.0) ** -power)) @ q.T


@pytest.mark.parametrize("power", [1.5, 3, 6])
def test_a_set_is_at_0_from_itself(power):
    rng = np.random.default_rng(0)
    own = Statistics(rng.standard_normal(256), spectrum(rng, 256, power), 1000)
    assert frechet_distance(own, own) < 1e-6
    rows = rng.multivariate_normal(own.mean, own.cov, 600)
    assert fid(rows.astype(np.float32), statistics(rows.astype(np.float32)))["fid"] < 1e-6


def test_fewer_samples_than_features_give_a_number_and_a_warning(caplog):
    rng = np.random.default_rng(0)
    few, other = rng.standard_normal((20, 64)), rng.standard_normal((30, 64)) + 1
    with caplog.at_level(logging.WARNING, "gen_jax"):
        assert fid(few, statistics(few))["fid"] < 1e-6
    assert "20 samples of 64 features" in caplog.text
    value = fid(few, statistics(other))["fid"]
    assert isinstance(value, float)
    # The rows themselves are roots of their covariances: the trace is the sum of singular values of their products.
    a, b = statistics(few), statistics(other)
    cross = np.linalg.svd((few - a.mean) @ (other - b.mean).T, compute_uv=False).sum() / np.sqrt(19 * 29)
    expected = np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * cross
    assert value == pytest.approx(expected, rel=1e-9)


def test_enough_samples_give_no_warning(caplog):
    rng = np.random.default_rng(0)
    with caplog.at_level(logging.WARNING, "gen_jax"):
        fid(rng.standard_normal((65, 64)), normal(64, count=0))  # 0: how many the reference had is not known
    assert not caplog.text


@pytest.mark.parametrize("chunks", [(100,), (1, 99), (2, 3, 90, 5), (50, 0, 50), (1,) * 100])
def test_statistics_of_chunks(chunks, monkeypatch):
    monkeypatch.setattr(frechet, "BLOCK", 30)
    rows = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32) + 1e3  # float32 would lose half of it
    own = statistics(np.split(rows, np.cumsum(chunks)[:-1]))
    assert own.count == 100
    assert own.mean.dtype == own.cov.dtype == np.float64
    np.testing.assert_allclose(own.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(own.cov, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-9)
    np.testing.assert_array_equal(own.cov, own.cov.T)


def test_merge_is_that_of_all_rows():
    rows = np.random.default_rng(0).standard_normal((50, 3))
    both = merge(statistics(rows[:20]), statistics(rows[20:]))
    whole = statistics(rows)
    assert both.count == whole.count
    np.testing.assert_allclose(both.mean, whole.mean)
    np.testing.assert_allclose(both.cov, whole.cov)


def test_the_interval_covers_the_mean_figure():
    # 95% of the intervals hold the figure's mean over draws of as many samples.
    rng, d, n = np.random.default_rng(0), 3, 100
    reference = normal(d, 1.5, 0.5)
    draw = lambda: rng.standard_normal((n, d))  # noqa: E731
    mean = np.mean([fid(draw(), reference)["fid"] for _ in range(2000)])
    covered, widths = 0, []
    for i in range(200):
        figures = fid(draw(), reference, bootstrap=100, seed=i)
        assert figures["fid/low"] <= figures["fid"] <= figures["fid/high"]
        covered += figures["fid/low"] <= mean <= figures["fid/high"]
        widths.append(figures["fid/high"] - figures["fid/low"])
    assert 0.88 <= covered / 200 <= 0.99
    wide = fid(draw(), reference, bootstrap=100, level=0.5)
    assert wide["fid/high"] - wide["fid/low"] < np.mean(widths)


def test_infinity_takes_the_bias_off():
    rng, d, n = np.random.default_rng(0), 8, 400
    reference = normal(d, 1.2)
    true = d * 0.2**2
    plain, endless = [], []
    for i in range(30):
        rows = rng.standard_normal((n, d))
        plain.append(fid(rows, reference)["fid"])
        figures = fid_infinity(rows, reference, seed=i)
        endless.append(figures["fid_infinity"])
    assert np.mean(plain) > true + 0.02
    assert abs(np.mean(endless) - true) < 0.3 * (np.mean(plain) - true)
    # The line passes near the figure of all samples, which is its last point.
    assert figures["fid_infinity"] + figures["fid_infinity/slope"] / n == pytest.approx(plain[-1], rel=0.1)


def test_redrawn_figures_are_those_of_the_rows(monkeypatch):
    monkeypatch.setattr(frechet, "BLOCK", 7)
    rng = np.random.default_rng(0)
    rows, reference = rng.standard_normal((40, 5)), Statistics(rng.standard_normal(5), covariance(rng, 5), 99)
    counts = rng.multinomial(40, np.full(40, 1 / 40))
    expected = fid(np.repeat(rows, counts, axis=0), reference)["fid"]
    assert frechet._distance_of_some(rows, reference)(counts) == pytest.approx(expected, rel=1e-9)


def test_mistakes_are_named():
    rows = np.random.default_rng(0).standard_normal((30, 3))
    with pytest.raises(UserError, match="features 3 wide, and statistics with a mean"):
        fid(rows, normal(4))
    with pytest.raises(UserError, match="not finite"):
        fid(rows, Statistics(np.zeros(3), np.full((3, 3), np.nan), 10))
    with pytest.raises(UserError, match="fid: 1 samples' features; needed: 2 or more"):
        fid(rows[:1], normal(3))
    with pytest.raises(UserError, match="0 features"):
        statistics(rows[:0])
    with pytest.raises(UserError, match="bootstrap=-1"):
        fid(rows, normal(3), bootstrap=-1)
    with pytest.raises(UserError, match="20 or more"):
        fid_infinity(rows[:19], normal(3))
    with pytest.raises(UserError, match="smallest=30"):
        fid_infinity(rows, normal(3), smallest=30)
    with pytest.raises(UserError, match="cannot be merged"):
        merge(normal(3), normal(3, count=0))
    with pytest.raises(UserError, match="3 and 4 wide"):
        merge(normal(3), normal(4))
