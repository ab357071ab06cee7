"""BigGAN: latents and label enter every layer, and the variety of samples can be traded for their likeness.

Brock et al. 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis (arXiv:1809.11096): one embedding
of the label for all conditional batch norms, latents cut into a part per block, orthogonal initialization and its
penalty, spectral normalization of both players, averaged parameters with standing statistics.

    python -m gen_jax.main --config=configs/gan/biggan.py --workdir=runs/biggan
    python -m gen_jax.sample --workdir=runs/biggan --family='{"truncation": 0.5}' --out=truncated.png

The digits' networks are narrow, their rates higher, and both players are updated in every step, for XLA's CPU compiler
is slow at convolutions that a step may leave out. Variants: cifar10 with the settings of the authors' PyTorch
program; imagenet128 and imagenet128_deep (BigGAN-deep) with the paper's networks and rates (a folder per class,
data.path).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/biggan.py): 133 s from the command to the last grid, compilation included. A classifier of the
real digits reads 99.8% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 0.97
times as far from the training images as held-out digits. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet128", "imagenet128_deep")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10, imagenet128 or imagenet128_deep."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", b1=0.0, b2=0.999, clip=None)
    discriminator = dict(
        name="nn.ResNetDiscriminator",
        widths=(32,),
        flat=1,
        wide=True,
        attention=(4,),
        outputs=None,
        kernel_init="orthogonal",
    )
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.BigGANGenerator", width=32, multipliers=(1, 1), attention=(8,), shared=16),
                discriminator=dict(name="nn.Projection", network=discriminator, kernel_init="orthogonal"),
                conditioning=dict(name="nn.OneHot", num_classes=None),  # None: the data's classes
                loss=dict(name="losses.hinge"),
                gen_penalties=dict(
                    orthogonal=dict(name="losses.Penalty", of=dict(name="losses.orthogonal"), weight=1e-4, every=1)
                ),
                spectral=("disc", "gen"),
                latent=32,
                truncation=None,
                standing=16,
            ),
            data=dict(name="digits"),
            optim=dict(disc=dict(adam, learning_rate=2e-3, every=1), gen=dict(adam, learning_rate=5e-4, every=1)),
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
        config.ema = dict(gen=dict(decay=0.9999))
        config.train.update(log_every=500, checkpoint_every=10_000, sample_every=10_000, flip=True)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator = dict(
            name="nn.BigGANGenerator",
            width=64,
            multipliers=(4, 4, 4, 4),
            attention=(),
            shared=None,
            hierarchical=False,
            kernel_init="small_normal",
        )
        config.family.discriminator.kernel_init = "small_normal"
        config.family.discriminator.network.update(widths=(256, 256), flat=2, attention=(), kernel_init="small_normal")
        config.family.update(latent=128, gen_penalties=dict())
        config.optim.disc.learning_rate = config.optim.gen.learning_rate = 2e-4
        config.optim.gen.every = 4
        config.train.update(steps=500_000, batch_size=50)
    if variant in ("imagenet128", "imagenet128_deep"):
        config.data = dict(name="image_folder", path=None, resolution=128, channels=3, on_error="refuse")
        config.family.generator = dict(
            name="nn.BigGANGenerator",
            width=96,
            multipliers=(1, 2, 4, 8, 16, 16),
            attention=(64,),
            shared=128,
            dtype="bfloat16",
        )
        config.family.discriminator.network.update(
            widths=(96, 192, 384, 768, 1536), flat=1, attention=(64,), dtype="bfloat16"
        )
        config.family.latent = 120
        config.optim.disc.learning_rate, config.optim.gen.learning_rate = 2e-4, 5e-5
        config.optim.gen.every = 2  # two updates of the discriminator for each of the generator
        config.train.update(steps=300_000, batch_size=2048)  # 150,000 updates of the generator
    if variant == "imagenet128_deep":
        deep = dict(width=128, multipliers=(1, 2, 4, 8, 16, 16), depth=2, attention=(64,), dtype="bfloat16")
        config.family.generator = dict(deep, name="nn.BigGANDeepGenerator", shared=128)
        config.family.discriminator.network = dict(deep, name="nn.BigGANDeepDiscriminator", outputs=None)
        config.family.latent = 128
    return config
