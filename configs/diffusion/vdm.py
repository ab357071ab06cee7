"""Variational diffusion model: a learned noise schedule, trained on the likelihood's bound itself.

Kingma et al. 2021, Variational Diffusion Models (arXiv:2107.00630).

    python -m gen_jax.main --config=configs/diffusion/vdm.py --workdir=runs/vdm

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/diffusion/vdm.py): 282 s from the command to the last grid, compilation included. Of 1,000 samples, as
a classifier of the real digits reads them, all ten classes, the rarest 7.6% of them; no copy of a training image;
samples lie 1.30 times as far from the training images as held-out digits. FID_own 13.6, recall_own 0.97. Bound on
held-out digits of an earlier run (2026-11-24, two cores of an Intel Xeon): 2.27 bits/dim. The variants cifar10 and
imagenet64 (2.65 and 3.40 bits/dim in the paper, without augmentation) were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet64")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or imagenet64."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.VDM",
                network=dict(
                    name="nn.FourierInputs",
                    # With a transformer of the same cost the bound was 2.55 bits/dim and the samples were noise.
                    network=dict(
                        name="nn.UNet", width=32, multipliers=(1, 2), blocks=1, attention=(4,), groups=8, dropout=0.0
                    ),
                    exponents=(2, 3),  # digits have 17 levels
                ),
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=0, noise_features=32),
                noise=dict(name="nn.MonotoneNoise", hidden=64),
                time=dict(name="diffusion.stratified"),
                sampler=dict(name="diffusion.Ancestral"),
                low=-13.3,
                high=5.0,
                steps=200,
            ),
            data=dict(name="digits"),
            optim=dict(
                model=dict(
                    name="adam",
                    learning_rate=dict(
                        name="warmup_cosine_decay_schedule",
                        init_value=0.0,
                        peak_value=2e-3,
                        warmup_steps=50,
                        decay_steps=1000,
                        end_value=1e-5,
                    ),
                    clip=1.0,
                    every=1,
                ),
                schedule=dict(name="adam", learning_rate=1e-3, clip=1.0, every=2),
            ),
            ema=dict(model=dict(decay=0.98), schedule=dict(decay=0.98)),
            train=dict(
                steps=1000,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a loop on one core of a CPU
                log_every=100,
                checkpoint_every=500,
                keep=3,
                sample_every=500,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant != "digits":  # the paper's: app. B.1
        config.family.network = dict(
            name="nn.FourierInputs",
            network=dict(name="nn.UNet", width=128, multipliers=(1,), blocks=32, attention=(), groups=32, dropout=0.1),
            exponents=(7, 8),
        )
        config.family.conditioning.update(width=512, noise_features=128)
        config.family.noise.hidden = 1024
        config.family.steps = 1000
        warmup = dict(name="linear_schedule", init_value=0.0, end_value=2e-4, transition_steps=100)
        adam = dict(name="adamw", learning_rate=warmup, b2=0.99, weight_decay=0.01, clip=None, every=1)
        # never updated: a line with learned ends, as in the paper's models without augmentation
        config.optim = dict(model=adam, schedule=dict(adam, learning_rate=dict(warmup), every=10_000_001))
        config.ema.update(model=dict(decay=0.9999), schedule=dict(decay=0.9999))
        config.train.update(
            steps=10_000_000, batch_size=128, log_every=100, checkpoint_every=20_000, sample_every=20_000
        )
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
    if variant == "imagenet64":
        config.data = dict(name="tfds", dataset="downsampled_imagenet/64x64")
        config.family.network.network.update(width=256, blocks=64)
        config.family.conditioning.update(width=1024, noise_features=256)
        config.train.update(steps=2_000_000, batch_size=512)
    return config
