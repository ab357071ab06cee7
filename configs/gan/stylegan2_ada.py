"""StyleGAN2 with adaptive discriminator augmentation, for little data: what the discriminator sees is changed as often
as it overfits.

Karras et al. 2020, Training Generative Adversarial Networks with Limited Data (arXiv:2006.06676).

    python -m gen_jax.main --config=configs/gan/stylegan2_ada.py --workdir=runs/stylegan2_ada

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/stylegan2_ada.py): 79 s from the command to the last grid, compilation included. A classifier of
the real digits reads 98.1% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 1.01
times as far from the training images as held-out digits.
The variants were built, not trained. cifar10 (2.42 FID in the paper, class-conditional, tuned) and ffhq256 are the
authors' settings "cifar" and "paper256", in bfloat16 where theirs are in float16. How penalties are paid here:
stylegan2.py. On digits, which a turn or a mirror makes other digits or none, images are moved and stretched a little
and their brightness is changed.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "ffhq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or ffhq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=4e-3, b1=0.0, b2=0.99, eps=1e-8, clip=None, every=1)
    never = dict(xflip=0.0, rotate90=0.0, rotate=0.0, lumaflip=0.0, hue=0.0, saturation=0.0)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(
                    name="nn.StyleGAN2Generator",
                    width=64,
                    layers=2,
                    channel_base=256,
                    channel_max=32,
                    mixing=0.0,
                    lr_multiplier=0.1,
                ),
                discriminator=dict(
                    name="nn.StyleGAN2Discriminator",
                    channel_base=256,
                    channel_max=32,
                    group=8,
                    layers=2,
                    lr_multiplier=0.1,
                ),
                conditioning=dict(name="nn.OneHot", num_classes=None),  # None: the data's classes
                loss=dict(name="losses.non_saturating"),
                latent=64,
                # with less of it the samples of a class are all alike, as was seen of conditional models on little data
                # (Shahbazi et al. 2022, arXiv:2201.06578)
                disc_penalties=dict(r1=dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=5.0, every=4)),
                gen_penalties=dict(),
                augment=dict(name="losses.ada", **never),
                # r_t stays below the paper's 0.6 in so short a run
                adaptive=dict(name="losses.AdaptiveProbability", target=0.2, interval=4, images=50_000),
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
        precision = dict(clamp=256.0, dtype="bfloat16")
        config.family.latent = 512
        config.family.generator = dict(name="nn.StyleGAN2Generator", width=512, channel_max=512, **precision)
        config.family.discriminator = dict(name="nn.StyleGAN2Discriminator", channel_max=512, **precision)
        config.family.augment = dict(name="losses.ada")  # "bgc": blitting, geometry, colour
        config.family.adaptive.update(target=0.6, images=500_000)
        config.family.disc_penalties.r1.every = 16
        for player in config.optim.values():
            player.learning_rate = 2.5e-3
        config.train.update(batch_size=64, checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator.update(layers=2, channel_base=32768, mixing=0.0)
        config.family.discriminator.update(channel_base=32768, architecture="plain", group=32)
        config.family.disc_penalties.r1.weight = 0.01
        config.ema.gen = dict(halflife=7812, rampup=0.05)  # 500,000 images
        config.train.steps = 1_562_500
    if variant == "ffhq256":
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        config.family.conditioning.num_classes = 0
        config.family.generator.update(layers=8, channel_base=16384, mixing=0.9)
        config.family.discriminator.update(channel_base=16384, group=8)
        config.family.disc_penalties.r1.weight = 1.0
        config.family.gen_penalties.path_length = dict(
            name="losses.Penalty", of=dict(name="losses.PathLength"), weight=2.0, every=4
        )
        config.ema.gen = dict(halflife=312.5, rampup=1.0)  # 20,000 images
        config.train.update(steps=390_625, flip=True)
    return config
