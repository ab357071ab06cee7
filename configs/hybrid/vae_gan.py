"""VAE-GAN: a VAE that measures likeness in a layer of a discriminator.

Larsen et al. 2015, Autoencoding beyond pixels using a learned similarity metric (arXiv:1512.09300), algorithm 1.

    python -m gen_jax.main --config=configs/hybrid/vae_gan.py --workdir=runs/vae_gan
    python -m gen_jax.sample --workdir=runs/vae_gan --task=interpolate --out=walk.png
    python -m gen_jax.sample --workdir=runs/vae_gan --family='{"draws": "reconstructions"}' --out=grid.png

Samples are draws from the prior, or with draws="reconstructions" those of the test split (or of --source=FOLDER).
On digits the networks are small, without batch normalization, and Adam takes the place of RMSProp; in the others layer
normalization takes that of batch normalization.
Variants: digits, cifar10, folder (--config.data.path=DIR, at 64x64 as the paper's faces, table 1: 64, 128 and 256
channels for encoder and decoder, latents of 128 numbers, RMSProp of rate 3e-4, batch 64).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/vae_gan.py): 184 s from the command to the last grid, compilation included. Of 1,000 samples,
as a classifier of the real digits reads them, all ten classes, the rarest 8.1% of them; no copy of a training image;
samples lie 1.23 times as far from the training images as held-out digits. FID_own 8.4, recall_own 0.96. The other
variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "folder")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or folder."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=5e-4, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.VAEGAN",
                encoder=dict(name="nn.ConvEncoder", widths=(32, 64), outputs=32),
                decoder=dict(name="nn.ConvDecoder", widths=(32, 64), final="tanh"),
                discriminator=dict(name="nn.ConvEncoder", widths=(32, 64), outputs=1, activation="leaky_relu"),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.non_saturating"),
                layer="conv_1",
                latent=16,
                beta=1.0,
                gamma=0.01,
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, enc=dict(adam), dec=dict(adam)),  # three dicts: one would be set for all
            ema=dict(enc=dict(decay=0.99), dec=dict(decay=0.99)),
            train=dict(
                steps=2500,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
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
    if variant != "digits":
        rmsprop = dict(name="rmsprop", learning_rate=3e-4, clip=None, every=1)
        config.optim = dict(disc=rmsprop, enc=dict(rmsprop), dec=dict(rmsprop))
        config.family.encoder.update(widths=(64, 128, 256), outputs=256)
        config.family.decoder.widths = (64, 128, 256)
        config.family.discriminator = dict(
            name="nn.DCGANDiscriminator", widths=(32, 128, 256, 256), kernel=5, norm="layer"
        )
        config.family.update(layer="norm_3", latent=128)
        config.ema = dict()
        config.train.update(steps=100_000, checkpoint_every=5000, sample_every=5000, flip=True)
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
    if variant == "folder":
        config.data = dict(name="image_folder", path=None, resolution=64, channels=3, on_error="refuse")
    return config
