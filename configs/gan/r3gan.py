"""R3GAN: a relativistic loss with penalties on both sides, and a residual network without anything else.

Huang et al. 2025, The GAN is dead; long live the GAN! A Modern Baseline GAN (arXiv:2501.05441): the pairing loss of
eq. 2 with R1 and R2, class-conditional as on CIFAR-10. As in the authors' program the weight of the penalties, the
learning rates, Adam's b2 and the half-life of the average follow half a cosine from one value to another, the burn-in.

    python -m gen_jax.main --config=configs/gan/r3gan.py --workdir=runs/r3gan
    python -m gen_jax.main --config=configs/gan/r3gan.py:ffhq256 --config.data.path=DIR --workdir=runs/r3gan_ffhq

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/r3gan.py): 223 s from the command to the last grid, compilation included. A classifier of the real
digits reads 98.9% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 1.06 times as
far from the training images as held-out digits.
The variants cifar10 (1.96 FID in the paper) and ffhq256 (2.75) have the presets of the authors' program, the sizes of
its batches and its augmentation; the program trains until FID stops to fall, the steps here are 250 and 150 million
images. It draws other real images for each player and differentiates the penalties through the augmentation, which is
not done here. stacked_mnist (1,000 of 1,000 modes in the paper) has a network for 28x28 images and numbers that are
ours. They were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "stacked_mnist", "cifar10", "ffhq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, stacked_mnist, cifar10 or ffhq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.R3GANGenerator"),
                discriminator=dict(name="nn.R3GANDiscriminator", outputs=1),
                conditioning=dict(name="nn.OneHot", num_classes=None),  # None: the data's classes
                loss=dict(name="losses.relativistic"),
                latent=64,
            ),
            data=dict(name="digits"),
            train=dict(
                steps=1500,
                batch_size=64,
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
    size(config, widths=(64, 32), groups=(8, 4), blocks=1)
    schedule(config, steps=1500, rate=(1e-3, 2.5e-4), gamma=(0.5, 0.05), halflife=150)
    if variant == "stacked_mnist":
        config.data = dict(name="stacked_mnist", path=None)  # path: a local copy of MNIST; None downloads it
        config.family.conditioning.num_classes = 0  # the modes are to be found, not given
        size(config, widths=(256, 256, 128), groups=(32, 32, 16), blocks=1)
        schedule(config, steps=20_000, rate=(2e-4, 5e-5), gamma=(1.0, 0.1), halflife=2000)
        config.train.update(steps=50_000, batch_size=256, checkpoint_every=5000, sample_every=5000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        size(config, widths=(768,) * 4, groups=(96,) * 4, dtype="bfloat16", float32_stages=1)
        schedule(config, steps=39_063, rate=(2e-4, 5e-5), gamma=(0.05, 0.005), halflife=9766)  # 20M and 5M images
        augment(config, end=0.55)
        config.train.update(steps=488_281, batch_size=512, flip=True, checkpoint_every=10_000, sample_every=10_000)
    if variant == "ffhq256":
        # resolution crops and resizes the images of the folder.
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        config.family.conditioning.num_classes = 0
        widths, groups = (768,) * 4 + (384, 192, 96), (96,) * 4 + (48, 24, 12)
        size(config, widths=widths, groups=groups, dtype="bfloat16", float32_stages=3)
        schedule(config, steps=78_125, rate=(2e-4, 5e-5), gamma=(150.0, 15.0), halflife=1953)  # 20M and 0.5M images
        augment(config, end=0.3)
        config.train.update(steps=585_938, batch_size=256, flip=True, checkpoint_every=10_000, sample_every=10_000)
        config.sample.update(num=36, batch_size=12)
    return config


def size(config: ConfigDict, **fields) -> None:
    """Of both networks, which mirror each other."""
    config.family.generator.update(fields)
    config.family.discriminator.update(fields)


def schedule(
    config: ConfigDict, steps: int, rate: tuple[float, float], gamma: tuple[float, float], halflife: float
) -> None:
    """Everything that moves from a first to a last value within `steps` steps."""
    weight = dict(name="losses.cosine", start=gamma[0], end=gamma[1], steps=steps)
    config.family.disc_penalties = {
        name: dict(name="losses.Penalty", of=dict(name=f"losses.{name}"), weight=dict(weight)) for name in ("r1", "r2")
    }
    adam = dict(
        name="adam",
        learning_rate=dict(
            name="cosine_decay_schedule", init_value=rate[0], decay_steps=steps, alpha=rate[1] / rate[0]
        ),
        b1=0.0,
        b2=dict(name="cosine_decay_schedule", init_value=0.9, decay_steps=steps, alpha=0.99 / 0.9),
        clip=None,
        every=1,
    )
    config.optim = {player: ConfigDict(adam) for player in ("disc", "gen")}
    config.ema = dict(gen=dict(halflife=halflife, burn_in=steps))


def augment(config: ConfigDict, end: float) -> None:
    """ADA's transformations with colour at half the rate and cutout, and a p that rises by itself."""
    colour = dict.fromkeys(("brightness", "contrast", "lumaflip", "hue", "saturation"), 0.5)
    config.family.augment = dict(name="losses.ada", **colour, cutout=1.0)
    config.family.adaptive = dict(name="losses.ScheduledProbability", end=end, images=20_000_000)
