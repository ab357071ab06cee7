"""Deep convolutional GAN: strided convolutions and batch normalization in both players.

Radford et al. 2016, Unsupervised Representation Learning with Deep Convolutional GANs (arXiv:1511.06434), section 3 and
4: the networks of figure 1, normal initialization, Adam with rate 2e-4 and beta1 = 0.5, batches of 128.

    python -m gen_jax.main --config=configs/gan/dcgan.py --workdir=runs/dcgan

The digits' networks have two levels of figure 1's four, and samples are drawn from averaged parameters, with batch
statistics to match them (standing), which the paper does not have. Variants: mnist, stacked_mnist (three digits in
three channels, 1,000 modes), cifar10, folder for any folder of images, at 64x64 as in the paper.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/dcgan.py): 118 s from the command to the last grid, compilation included. Of 1,000 samples, as a
classifier of the real digits reads them, all ten classes, the rarest 7.8% of them; no copy of a training image; samples
lie 1.18 times as far from the training images as held-out digits. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "stacked_mnist", "cifar10", "folder")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist, stacked_mnist, cifar10 or folder."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=2e-4, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.DCGANGenerator", widths=(32, 64), uniform=True),
                discriminator=dict(name="nn.DCGANDiscriminator", widths=(32, 64)),
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.non_saturating"),
                latent=100,
                standing=16,
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.999)),
            train=dict(
                steps=5000,
                batch_size=128,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=100,
                checkpoint_every=2500,
                keep=3,
                sample_every=2500,
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
        config.family.generator.widths = config.family.discriminator.widths = (128, 256, 512)
        config.family.standing = None
        config.ema = dict()
        config.train.update(checkpoint_every=5000, sample_every=5000)
    if variant in ("mnist", "stacked_mnist"):
        config.family.generator.widths = config.family.discriminator.widths = (64, 128)
        config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.train.update(steps=50_000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)
        config.train.update(steps=100_000, flip=True)
    if variant == "folder":
        config.family.generator.widths = config.family.discriminator.widths = (128, 256, 512, 1024)
        config.data = dict(name="image_folder", path=None, resolution=64, channels=3, on_error="refuse")
        config.train.update(steps=100_000, flip=True)
    return config
