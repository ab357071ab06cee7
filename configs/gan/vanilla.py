"""Generative adversarial network of fully connected layers.

Goodfellow et al. 2014, Generative Adversarial Nets (arXiv:1406.2661), with the non-saturating loss of its section 3.

    python -m gen_jax.main --config=configs/gan/vanilla.py --workdir=runs/vanilla

Measured on digits (2026-11-22, seed 0, two cores of an AMD EPYC, python benchmarks/quickstart.py with this config): 28
s from the command to the last grid, compilation included. Of 1,000 samples, as a classifier of the real digits reads
them, all ten classes, the rarest 6.7% of them; no copy of a training image; samples lie 1.21 times as far from the
training images as held-out digits do. The variants mnist and cifar10 were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "cifar10")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist or cifar10."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=2e-4, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(256, 256), norm="layer", final="tanh"),
                discriminator=dict(name="nn.MLP", features=(256, 256), outputs=1, activation="leaky_relu"),
                # num_classes=10 makes both players conditional on the digit
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.non_saturating"),
                latent=32,
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.999)),
            train=dict(
                steps=6000,
                batch_size=128,
                steps_per_call=10,
                log_every=100,
                checkpoint_every=2000,
                keep=3,
                sample_every=2000,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant in ("mnist", "cifar10"):
        config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.latent = 100
        config.family.generator.features = (512, 512, 512)
        config.family.discriminator.features = (512, 512)
        config.train.update(steps=100_000, checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":
        config.family.generator.features = (1024, 1024, 1024)
        config.family.discriminator.features = (1024, 1024)
        config.train.update(steps=200_000, flip=True)
    return config
