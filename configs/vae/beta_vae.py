"""beta-VAE: a stronger KL term, for latents of which each says one thing; and its successor with a controlled capacity.

Higgins et al. 2017, beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework (ICLR 2017,
openreview.net/forum?id=Sy2fzU9gl), and Burgess et al. 2018, Understanding disentangling in beta-VAE (arXiv:1804.03599):
gamma |KL - C|, with gamma = 1000 and C rising from 0 to 25 nats over 100,000 steps of 64 images, ten latents,
convolutions 4x4 of 32 channels, Adam at 5e-4.

    python -m gen_jax.main --config=configs/vae/beta_vae.py --workdir=runs/beta_vae
    python -m gen_jax.main --config=configs/vae/beta_vae.py:capacity --workdir=runs/capacity_vae

capacity is a variant of digits, with gamma = 20 and C rising to 15 nats. mnist has the numbers of 2018, there for
dSprites, and the four convolutions, but not the dense layers of 256 behind them. Measured on digits (2026-11-26, seed
0, two cores of an AMD EPYC, python benchmarks/gallery.py --configs=configs/vae/beta_vae.py): 17 s from the command to
the last grid, compilation included. Of 1,000 samples, as a classifier of the real digits reads them, all ten classes,
the rarest 6.7% of them; no copy of a training image; samples lie 1.02 times as far from the training images as held-out
digits. FID_own 45.8, recall_own 0.42. Test split: 3.824 bits/dim by the bound, 3.731 by 5,000 importance-weighted
draws. capacity, by python -m gen_jax.evaluate --evals=fid,modes,bits_per_dim: all ten classes, the rarest 7.3%, FID_own
23.1, 3.677 and 3.589 bits/dim. The variant mnist was built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "capacity", "mnist")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, capacity or mnist."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.VAE",
                encoder=dict(name="nn.MLP", features=(256, 256), outputs=20),
                decoder=dict(name="nn.MLP", features=(256, 256), channels_per_value=2),
                # num_classes=10 makes encoder and decoder conditional on the digit
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                likelihood=dict(name="losses.DiscretizedLogistic"),
                divergence=dict(name="losses.kl"),
                latent=10,
                beta=4.0,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=1.0, every=1)),
            ema=dict(model=dict(decay=0.999)),
            train=dict(
                steps=3000,
                batch_size=128,
                steps_per_call=10,
                log_every=100,
                checkpoint_every=1000,
                keep=3,
                sample_every=1000,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant != "digits":
        rise = dict(name="losses.linear", start=0.0, end=15.0, steps=2000)
        config.family.divergence = dict(name="losses.Capacity", nats=rise)
        config.family.beta = 20.0
    if variant == "mnist":
        config.data = dict(name="mnist", path=None, binarize="static")  # None downloads through TensorFlow Datasets
        widths = (32, 32, 32, 32)
        config.family.encoder = dict(name="nn.ConvEncoder", widths=widths, outputs=20, activation="relu")
        config.family.decoder = dict(name="nn.ConvDecoder", widths=widths, activation="relu")
        config.family.likelihood = dict(name="losses.Bernoulli")
        config.family.divergence.nats.update(end=25.0, steps=100_000)
        config.family.beta = 1000.0
        config.optim.model.update(learning_rate=5e-4, clip=None)
        config.train.update(
            steps=300_000, batch_size=64, steps_per_call=1, checkpoint_every=10_000, sample_every=10_000
        )
    return config
