"""Least-squares GAN: logits are drawn to 1 for real and to 0 for generated examples, so no example is ever far enough.

Mao et al. 2017, Least Squares Generative Adversarial Networks (arXiv:1611.04076, eq. 9).

    python -m gen_jax.main --config=configs/gan/lsgan.py --workdir=runs/lsgan

On the digits the generator's rate is five times the discriminator's: at equal rates it leaves out zeros. The variants
mnist and cifar10 take DCGAN's networks (arXiv:1511.06434), Adam with rate 2e-4 and beta1 = 0.5 for both.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/lsgan.py): 45 s from the command to the last grid, compilation included. Of 1,000 samples, as a
classifier of the real digits reads them, all ten classes, the rarest 8.1% of them; no copy of a training image; samples
lie 1.06 times as far from the training images as held-out digits. The variants mnist and cifar10 were built, not
trained.
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
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.least_squares"),
                latent=32,
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam, learning_rate=1e-3)),
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
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant in ("mnist", "cifar10"):
        widths = (64, 128) if variant == "mnist" else (128, 256, 512)
        config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator = dict(name="nn.DCGANGenerator", widths=widths)
        config.family.discriminator = dict(name="nn.DCGANDiscriminator", widths=widths)
        config.family.update(latent=100, standing=16)
        config.optim.gen.learning_rate = 2e-4
        config.train.update(
            steps=50_000 if variant == "mnist" else 100_000,
            batch_size=64,
            steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
            checkpoint_every=5000,
            sample_every=5000,
            flip=variant == "cifar10",
        )
    return config
