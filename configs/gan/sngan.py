"""Spectrally normalized GAN, with the projection discriminator where it is conditional.

Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks (arXiv:1802.05957), section 4 and
appendix B.4: hinge loss, Adam with beta1 = 0 and beta2 = 0.9, five updates of the discriminator for each of the
generator. Miyato & Koyama 2018, cGANs with Projection Discriminator (arXiv:1802.05637): the label's inner product with
the features, and batch normalization with a gain and bias per class.

    python -m gen_jax.main --config=configs/gan/sngan.py --workdir=runs/sngan

The digits' networks are narrow, both players are updated in every step (XLA's CPU compiler is slow at convolutions that
a step may leave out), and samples are drawn from averaged parameters. Variants: mnist, cifar10 and
cifar10_unconditional with the papers' networks and the rate falling to zero over 50,000 updates of the generator, on
batches of 64 for both players (the authors' program gives the generator 128).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/sngan.py): 105 s from the command to the last grid, compilation included. A classifier of the real
digits reads 99.6% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 0.98 times as
far from the training images as held-out digits. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "cifar10", "cifar10_unconditional")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist, cifar10 or cifar10_unconditional."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=2e-4, b1=0.0, b2=0.9, clip=None)
    discriminator = dict(name="nn.ResNetDiscriminator", widths=(32,), flat=1, outputs=None)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.ResNetGenerator", widths=(32, 32)),
                discriminator=dict(name="nn.Projection", network=discriminator, bias=False),
                conditioning=dict(name="nn.OneHot", num_classes=None),  # None: the data's classes
                loss=dict(name="losses.hinge"),
                spectral=("disc",),
                latent=32,
                standing=16,
            ),
            data=dict(name="digits"),
            optim=dict(disc=dict(adam, learning_rate=1e-3, every=1), gen=dict(adam, learning_rate=1e-3, every=1)),
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
        falling = dict(name="linear_schedule", init_value=2e-4, end_value=0.0, transition_steps=250_000)
        config.optim = dict(
            disc=dict(adam, learning_rate=falling, every=1),
            gen=dict(adam, learning_rate=dict(falling, transition_steps=50_000), every=5),  # it counts its own updates
        )
        config.family.update(latent=128, standing=None)
        config.ema = dict()
        config.train.update(steps=250_000, log_every=500, checkpoint_every=25_000, sample_every=25_000)
    if variant == "mnist":
        config.data = dict(name="mnist", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator.widths = (128, 128, 128)  # 7 -> 14 -> 28
        config.family.discriminator.network.update(widths=(128, 128), flat=2)
    if variant in ("cifar10", "cifar10_unconditional"):
        config.data = dict(name="cifar10", path=None)
        config.family.generator.widths = (256, 256, 256, 256)
        config.family.discriminator.network.update(widths=(128, 128), flat=2)
        config.train.flip = True
    if variant == "cifar10_unconditional":
        config.family.conditioning.num_classes = 0
        config.family.discriminator = dict(
            name="nn.ResNetDiscriminator", widths=(128, 128), flat=2, outputs=1, bias=False
        )
    return config
