"""Writes reference.npz beside it: what other programs make of drawn features and images, for the metrics' tests.

    pip install "scipy<1.18" torch torchvision scikit-image scikit-learn
    pip install --no-deps pytorch-fid torch-fidelity prdc
    python tests/evals/make_reference.py

The file holds the inputs, the figures and the versions. SciPy below 1.18, as both FID programs take the square root of
a matrix with an argument that it lost.
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import prdc
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch_fidelity.metric_fid import fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

PACKAGES = ("pytorch-fid", "torch-fidelity", "prdc", "torch", "scikit-image", "scipy", "numpy")


def statistics(rng, d, count):
    """Mean and covariance of `count` correlated rows of uneven scale."""
    rows = rng.standard_normal((count, d)) @ rng.standard_normal((d, d)) * np.arange(1, d + 1) ** -0.7
    rows += rng.standard_normal(d)
    return rows.mean(axis=0), np.cov(rows, rowvar=False)


def main():
    rng = np.random.default_rng(0)
    out = {}

    (mean_a, cov_a), (mean_b, cov_b) = (statistics(rng, 64, count) for count in (500, 300))
    torch_fidelity = fid_statistics_to_metric({"mu": mean_a, "sigma": cov_a}, {"mu": mean_b, "sigma": cov_b}, False)
    out |= dict(mean_a=mean_a, cov_a=cov_a, mean_b=mean_b, cov_b=cov_b)
    out["fid_pytorch_fid"] = calculate_frechet_distance(mean_a, cov_a, mean_b, cov_b)
    out["fid_torch_fidelity"] = torch_fidelity["frechet_inception_distance"]

    features = rng.standard_normal((200, 24)).astype(np.float32)
    real_features = (1.1 * rng.standard_normal((200, 24)) + 0.1).astype(np.float32)
    tensors = torch.from_numpy(features).double(), torch.from_numpy(real_features).double()
    # One subset of everything is the full-sample value.
    kid = kid_features_to_metric(*tensors, kid_subsets=1, kid_subset_size=200, verbose=False)
    out |= dict(features=features, real_features=real_features, kid=kid["kernel_inception_distance_mean"])

    few = real_features[:150]
    for k in (3, 5):
        out |= {f"prdc_{k}/{name}": value for name, value in prdc.compute_prdc(few, features, k).items()}

    logits = (3 * rng.standard_normal((205, 10))).astype(np.float32)
    out["logits"] = logits
    shuffled = torch.from_numpy(logits[np.random.default_rng(0).permutation(len(logits))])
    for splits in (1, 10):
        score = isc_features_to_metric(shuffled, splits, shuffle=False)
        out[f"is_{splits}"], out[f"is_{splits}_std"] = score.values()

    originals = rng.integers(0, 256, (3, 24, 17, 3), dtype=np.uint8)
    originals = np.repeat(np.repeat(originals[:, ::4, ::4], 4, 1), 4, 2)[:, :24, :17]
    images = np.clip(originals + 20 * rng.standard_normal(originals.shape), 0, 255).astype(np.uint8)
    wang = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1)
    pairs = list(zip(originals, images, strict=True))
    out |= dict(originals=originals, images=images)
    out["ssim"] = np.mean([structural_similarity(a, b, **wang) for a, b in pairs])
    out["psnr"] = np.mean([peak_signal_noise_ratio(a, b) for a, b in pairs])

    np.savez_compressed(Path(__file__).with_name("reference.npz"), **out, **{name: version(name) for name in PACKAGES})
    print({name: float(value) for name, value in out.items() if np.ndim(value) == 0})


if __name__ == "__main__":
    main()
