"""Wasserstein GAN with gradient penalty: a critic whose slope is one where it matters.

Gulrajani et al. 2017, Improved Training of Wasserstein GANs (arXiv:1704.00028), algorithm 1: penalty weight 10, five
updates of the critic for each of the generator, Adam without momentum, no batch normalization in the critic.

    python -m gen_jax.main --config=configs/gan/wgan_gp.py --workdir=runs/wgan_gp

On the digits both networks are fully connected. The variant cifar10 is the ResNet of appendix C with the rate falling
to zero over 100,000 updates of the generator, on batches of 64 for both players (the authors' program gives the
generator 128); mnist and stacked_mnist (three digits in three channels, 1,000 modes) are of DCGAN's kind.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/wgan_gp.py): 77 s from the command to the last grid, compilation included. Of 1,000 samples, as a
classifier of the real digits reads them, all ten classes, the rarest 8.9% of them; no copy of a training image; samples
lie 1.25 times as far from the training images as held-out digits. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "stacked_mnist", "cifar10")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist, stacked_mnist or cifar10."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=2e-4, b1=0.0, b2=0.9, clip=None)
    penalty = dict(name="losses.Penalty", of=dict(name="losses.gradient_penalty"), weight=10.0, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(256, 256), norm="layer", final="tanh"),
                discriminator=dict(name="nn.MLP", features=(256, 256), outputs=1, activation="leaky_relu"),
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.wasserstein"),
                disc_penalties=dict(gradient_penalty=penalty),
                latent=32,
            ),
            data=dict(name="digits"),
            # every=5: n_critic; the steps of a run are the critic's
            optim=dict(disc=dict(adam, every=1), gen=dict(adam, every=5)),
            ema=dict(gen=dict(decay=0.995)),
            train=dict(
                steps=20_000,
                batch_size=64,
                steps_per_call=10,
                log_every=100,
                checkpoint_every=10_000,
                keep=3,
                sample_every=10_000,
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
        config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.latent = 128
        config.ema = dict()
        config.train.update(
            steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
            log_every=500,
            sample_every=25_000,
            checkpoint_every=25_000,
        )
    if variant in ("mnist", "stacked_mnist"):
        config.family.generator = dict(name="nn.DCGANGenerator", widths=(64, 128, 256), norm="none")
        config.family.discriminator = dict(name="nn.DCGANDiscriminator", widths=(64, 128, 256), norm="none")
        config.optim.disc.update(learning_rate=1e-4, b1=0.5)
        config.optim.gen.update(learning_rate=1e-4, b1=0.5)
        config.train.update(steps=1_000_000, batch_size=50)
    if variant == "cifar10":
        config.family.generator = dict(name="nn.ResNetGenerator", widths=(128, 128, 128, 128))
        config.family.discriminator = dict(name="nn.ResNetDiscriminator", widths=(128, 128), flat=2, pool="mean")
        falling = dict(name="linear_schedule", init_value=2e-4, end_value=0.0, transition_steps=500_000)
        config.optim = dict(
            disc=dict(adam, learning_rate=falling, every=1),
            gen=dict(adam, learning_rate=dict(falling, transition_steps=100_000), every=5),  # it counts its own updates
        )
        config.train.update(steps=500_000, flip=False)
    return config
