"""FSQ: an autoencoder whose latents are rounded numbers, with no codebook that could collapse.

Mentzer et al. 2023, Finite Scalar Quantization: VQ-VAE Made Simple (arXiv:2309.15505), with the networks of VQ-VAE
(arXiv:1711.00937).

    python -m gen_jax.main --config=configs/vae/fsq.py --workdir=runs/fsq
    python -m gen_jax.main --config=configs/vae/fsq.py:lfq --workdir=runs/lfq
    python -m gen_jax.evaluate --workdir=runs/fsq

It is the first stage of other models, and its samples are reconstructions: grids show image | reconstruction of the
test split, or of gen_jax.sample --source=FOLDER.

Variants: digits, 4x4 codes of 5 * 4 * 4 = 80; lfq, the same with six signs each, 64 codes (lookup-free quantization,
Yu et al. 2023, arXiv:2310.05737); residual, with two codes a place from one codebook of 32 (residual quantization, Lee
et al. 2022, arXiv:2203.01941); cifar10, 8x8 codes of 8 * 5 * 5 * 5 = 1000; imagenet128 (--config.data.path=DIR), 16x16
codes of 8 * 5 * 5 * 5, the paper's size of codebook (table 1) and of images (section 4.1).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/vae/fsq.py): 40 s from the command to the last grid, compilation included. Reconstructions of the test
split: PSNR 25.6 dB, FID_own 1.1, 99.6% of the codes in use in a batch. By python -m gen_jax.evaluate, lfq: 21.2 dB,
FID_own 2.9, residual: 26.7 dB, 0.7, each with all codes in use in a batch. The variants cifar10 and imagenet128 were
built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "lfq", "residual", "cifar10", "imagenet128")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, lfq, residual, cifar10 or imagenet128."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    network = dict(width=64, hidden=32, blocks=2)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Autoencoder",
                encoder=dict(name="nn.PlaceEncoder", channels=3, downs=1, **network),
                decoder=dict(name="nn.PlaceDecoder", ups=1, **network),
                bottleneck=dict(name="nn.FSQ", levels=(5, 4, 4)),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                reconstruction=dict(name="losses.Gaussian", std=0.5),
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=None, every=1)),
            ema=dict(model=dict(decay=0.99)),
            train=dict(
                steps=2000,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=100,
                checkpoint_every=1000,
                keep=3,
                sample_every=1000,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=48, batch_size=64, seed=0),
            evals=dict(every=500, num=355, metrics=dict(psnr=dict(name="evals.psnr")), split="test"),
        )
    )
    if variant == "lfq":
        config.family.encoder.channels = 6
        config.family.bottleneck = dict(name="nn.LFQ", bits=6, beta=0.25, entropy_weight=0.1, diversity=1.0)
    if variant == "residual":
        config.family.encoder.channels = 16
        codebook = dict(name="nn.VectorQuantizer", num_codes=32, width=16, beta=0.25, decay=0.99, revive=0.05)
        config.family.bottleneck = dict(name="nn.ResidualQuantizer", of=codebook, levels=2, shared=True)
    if variant in ("cifar10", "imagenet128"):
        downs = 2 if variant == "cifar10" else 3
        network = dict(width=128, hidden=32, blocks=2)
        config.family.encoder = dict(name="nn.PlaceEncoder", channels=4, downs=downs, **network)
        config.family.decoder = dict(name="nn.PlaceDecoder", ups=downs, **network)
        config.family.bottleneck.levels = (8, 5, 5, 5)
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.optim.model.learning_rate = 2e-4
        config.ema = dict()
        config.evals = dict()
        config.train.update(steps=250_000, batch_size=128, checkpoint_every=10_000, sample_every=10_000, flip=True)
    if variant == "imagenet128":
        config.data = dict(name="image_folder", path=None, resolution=128, channels=3, on_error="refuse")
    return config
