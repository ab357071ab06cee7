"""Self-attention GAN: places of an image that are far apart answer to each other.

Zhang et al. 2019, Self-Attention Generative Adversarial Networks (arXiv:1805.08318): self-attention in both players,
spectral normalization of both, the generator's rate a quarter of the discriminator's, hinge loss, projection
discriminator, conditional batch normalization.

    python -m gen_jax.main --config=configs/gan/sagan.py --workdir=runs/sagan

The digits' networks are narrow, and their rates higher; samples are drawn from averaged parameters. Variants: cifar10,
and imagenet128 with the paper's networks, rates and attention at 32x32 (a folder per class, data.path).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/sagan.py): 180 s from the command to the last grid, compilation included. A classifier of the real
digits reads 99.6% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 0.99 times as
far from the training images as held-out digits. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet128")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or imagenet128."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", b1=0.0, b2=0.9, clip=None, every=1)
    discriminator = dict(name="nn.ResNetDiscriminator", widths=(32,), flat=1, wide=True, attention=(4,), outputs=None)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.ResNetGenerator", widths=(32, 32), attention=(8,)),
                discriminator=dict(name="nn.Projection", network=discriminator),
                conditioning=dict(name="nn.OneHot", num_classes=None),  # None: the data's classes
                loss=dict(name="losses.hinge"),
                spectral=("disc", "gen"),
                latent=32,
                standing=16,
            ),
            data=dict(name="digits"),
            optim=dict(disc=dict(adam, learning_rate=2e-3), gen=dict(adam, learning_rate=5e-4)),
            ema=dict(gen=dict(decay=0.998)),
            train=dict(
                steps=4000,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=100,
                checkpoint_every=2000,
                keep=3,
                sample_every=2000,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant != "digits":
        config.optim.disc.learning_rate, config.optim.gen.learning_rate = 4e-4, 1e-4
        config.family.latent = 128
        config.ema = dict(gen=dict(decay=0.9999))
        config.train.update(batch_size=256, checkpoint_every=10_000, sample_every=10_000, log_every=500, flip=True)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator.update(widths=(256, 256, 256, 256), attention=(16,))
        config.family.discriminator.network.update(widths=(128, 128), flat=2, attention=(16,))
        config.train.update(batch_size=64, steps=250_000)
    if variant == "imagenet128":
        config.data = dict(name="image_folder", path=None, resolution=128, channels=3, on_error="refuse")
        config.family.generator.update(widths=(64, 128, 256, 512, 1024, 1024), attention=(32,))
        config.family.discriminator.network.update(widths=(64, 128, 256, 512, 1024), flat=1, attention=(32,))
        config.train.update(steps=1_000_000)
    return config
