"""Wasserstein GAN, with clipped weights.

Arjovsky et al. 2017, Wasserstein GAN (arXiv:1701.07875), algorithm 1: RMSprop, weights of the critic clipped to
+-0.01, five updates of the critic for each of the generator.

    python -m gen_jax.main --config=configs/gan/wgan.py --workdir=runs/wgan

On the digits, with a critic of two hidden layers, the limit is 0.1 and the rate ten times the paper's 5e-5. The
variants mnist and cifar10 have the paper's numbers and DCGAN's networks (arXiv:1511.06434), without its 100 updates of
the critic for each of the first 25 of the generator.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/wgan.py): 44 s from the command to the last grid, compilation included. Of 1,000 samples, as a
classifier of the real digits reads them, all ten classes, the rarest 8.9% of them; no copy of a training image; samples
lie 1.26 times as far from the training images as held-out digits. The variants mnist and cifar10 were built, not
trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "cifar10")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist or cifar10."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    rmsprop = dict(name="rmsprop", learning_rate=5e-4, decay=0.99, eps_in_sqrt=False, clip=None)
    clipped = dict(name="clip_weights", limit=0.1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(256, 256), norm="layer", final="tanh"),
                discriminator=dict(name="nn.MLP", features=(256, 256), outputs=1, activation="leaky_relu"),
                conditioning=dict(name="nn.OneHot", num_classes=0),
                loss=dict(name="losses.wasserstein"),
                latent=32,
            ),
            data=dict(name="digits"),
            # every=5: n_critic; the steps of a run are the critic's
            optim=dict(disc=dict(rmsprop, every=1, project=clipped), gen=dict(rmsprop, every=5)),
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
    if variant in ("mnist", "cifar10"):
        widths = (64, 128) if variant == "mnist" else (128, 256, 512)
        config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator = dict(name="nn.DCGANGenerator", widths=widths)
        config.family.discriminator = dict(name="nn.DCGANDiscriminator", widths=widths)
        config.family.update(latent=100)
        config.optim.disc.update(learning_rate=5e-5, project=dict(name="clip_weights", limit=0.01))
        config.optim.gen.learning_rate = 5e-5
        config.ema = dict()
        config.train.update(
            steps=500_000,
            steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
            log_every=500,
            sample_every=25_000,
            checkpoint_every=25_000,
            flip=variant == "cifar10",
        )
    return config
