"""beta-TCVAE: of the KL term only the total correlation of the latents is weighed more.

Chen et al. 2018, Isolating Sources of Disentanglement in Variational Autoencoders (arXiv:1802.04942), with stratified
minibatches (app. C.2).

    python -m gen_jax.main --config=configs/vae/tc_vae.py --workdir=runs/tc_vae

mnist has the authors' numbers for dSprites: MLPs of 1200, ten latents, beta = 6, Adam at 1e-3, batches of 2048. The
weight of the total correlation does not warm up. Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC,
python benchmarks/gallery.py --configs=configs/vae/tc_vae.py): 69 s from the command to the last grid, compilation
included. Of 1,000 samples, as a classifier of the real digits reads them, all ten classes, the rarest 7.1% of them; no
copy of a training image; samples lie 1.03 times as far from the training images as held-out digits. FID_own 28.9,
recall_own 0.80. Test split: 3.718 bits/dim by the bound, 3.634 by 5,000 importance-weighted draws. The variant mnist
was built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits or mnist."""
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
                # examples: of the training data
                divergence=dict(name="losses.TotalCorrelation", examples=1442, total_correlation=6.0),
                latent=10,
                beta=1.0,
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
    if variant == "mnist":
        config.data = dict(name="mnist", path=None, binarize="static")  # None downloads through TensorFlow Datasets
        config.family.encoder.update(features=(1200, 1200), activation="relu")
        config.family.decoder.update(features=(1200, 1200, 1200), activation="tanh", channels_per_value=1)
        config.family.likelihood = dict(name="losses.Bernoulli")
        config.family.divergence.examples = 60_000
        config.optim.model.clip = None
        config.train.update(steps=20_000, batch_size=2048)
    return config
