"""StyleGAN: a mapping to styles, which set the statistics of every layer, and noise for what is left to chance.

Karras et al. 2019, A Style-Based Generator Architecture for Generative Adversarial Networks (arXiv:1812.04948), with
the non-saturating loss and R1.

    python -m gen_jax.main --config=configs/gan/stylegan.py --workdir=runs/stylegan
    python -m gen_jax.sample --workdir=runs/stylegan --family='{"truncation": 0.7}' --out=typical.png

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/stylegan.py): 90 s from the command to the last grid, compilation included. Of 1,000 samples, as a
classifier of the real digits reads them, all ten classes, the rarest 5.1% of them; no copy of a training image; samples
lie 1.32 times as far from the training images as held-out digits.
The variant ffhq256 was built, not trained. It has the paper's hyperparameters (appendix C) with a batch of 32 and a
learning rate of 0.002, the ones of 256x256, throughout; the authors have larger batches and smaller rates at the lower
resolutions.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "ffhq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits or ffhq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=4e-3, b1=0.0, b2=0.99, eps=1e-8, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(
                    name="nn.StyleGANGenerator",
                    width=64,
                    layers=2,
                    channel_base=256,
                    channel_max=32,
                    mixing=0.0,
                    lr_multiplier=0.1,
                ),
                discriminator=dict(
                    name="nn.ProgressiveDiscriminator",
                    channel_base=256,
                    channel_max=32,
                    group=4,
                    blur=(1, 2, 1),
                ),
                # num_classes=None: the data's classes, and both players are conditional on them
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.non_saturating"),
                latent=64,
                disc_penalties=dict(r1=dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=0.1)),
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
    if variant == "ffhq256":
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        config.family.latent = 512
        config.family.generator.update(
            width=512, layers=8, channel_base=16384, channel_max=512, mixing=0.9, lr_multiplier=0.01
        )
        config.family.discriminator.update(channel_base=16384, channel_max=512)
        config.family.disc_penalties.r1.weight = 10.0
        config.family.growth.update(stages=6, hold=18_750, fade=18_750, start=1.0)  # 600,000 images each, from 8x8 on
        for player in config.optim.values():
            player.learning_rate = 2e-3
        config.ema.gen = dict(halflife=312.5, rampup=1.0)  # 10,000 images
        config.train.update(steps=781_250, batch_size=32, flip=True, checkpoint_every=10_000, sample_every=10_000)
    return config
