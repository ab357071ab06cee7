"""Progressive GAN: both players grow from 4x4 on, with equalized learning rates and the improved Wasserstein loss.

Karras et al. 2018, Progressive Growing of GANs for Improved Quality, Stability, and Variation (arXiv:1710.10196).

    python -m gen_jax.main --config=configs/gan/progressive.py --workdir=runs/progressive

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/progressive.py): 97 s from the command to the last grid, compilation included. Of 1,000 samples,
as a classifier of the real digits reads them, all ten classes, the rarest 7.3% of them; no copy of a training image;
samples lie 1.42 times as far from the training images as held-out digits.
The variants were built, not trained. They have the paper's hyperparameters (appendix A), with the batch of the highest
resolution throughout, where the authors' are larger for the lower ones; and a stage's 800,000 images each for training
and fading in.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "ffhq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or ffhq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=2e-3, b1=0.0, b2=0.99, eps=1e-8, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.ProgressiveGenerator", channel_base=256, channel_max=32),
                discriminator=dict(name="nn.ProgressiveDiscriminator", channel_base=256, channel_max=32, group=4),
                # num_classes=None: the data's; with auxiliary=1.0 and the discriminator's outputs=11 the paper's way
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.wasserstein"),
                latent=32,
                disc_penalties=dict(
                    gradient=dict(
                        name="losses.Penalty", of=dict(name="losses.gradient_penalty", target=1.0), weight=10.0
                    ),
                    drift=dict(name="losses.Penalty", of=dict(name="losses.drift"), weight=0.001),
                ),
                growth=dict(name="nn.Growth", stages=1, hold=300, fade=300, start=0.0),
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.998)),
            train=dict(
                steps=3000,
                batch_size=32,
                steps_per_call=1,  # XLA runs convolutions inside a loop on one core of a CPU
                log_every=100,
                checkpoint_every=500,
                keep=3,
                sample_every=500,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant in ("cifar10", "ffhq256"):
        config.family.latent = 512
        config.family.generator.update(channel_base=16384, channel_max=512)
        config.family.discriminator.update(channel_base=16384, channel_max=512)
        config.family.growth.update(hold=50_000, fade=50_000)
        for player in config.optim.values():
            player.learning_rate = 1e-3
        config.ema.gen = dict(decay=0.999)
        config.train.update(batch_size=16, checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.growth.stages = 3
        config.family.disc_penalties.gradient.of.target = 750.0
        config.family.disc_penalties.gradient.weight = 10.0 / 750**2
        config.train.update(steps=750_000, flip=True)
    if variant == "ffhq256":
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        config.family.growth.stages = 6
        config.train.update(steps=750_000, flip=True)
    return config
