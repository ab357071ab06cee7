"""TransGAN: two transformers and no convolution that mixes places.

Jiang et al. 2021, TransGAN: Two Pure Transformers Can Make One Strong GAN, and That Can Scale Up (arXiv:2102.07074),
trained there with a Wasserstein loss, its gradient penalty and DiffAugment (Zhao et al. 2020, arXiv:2006.10738).

    python -m gen_jax.main --config=configs/gan/transformer.py --workdir=runs/transformer

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/transformer.py): 249 s from the command to the last grid, compilation included. Of 1,000 samples,
as a classifier of the real digits reads them, all ten classes, the rarest 8.0% of them; no copy of a training image;
samples lie 1.24 times as far from the training images as held-out digits.
The digits variant has smaller networks and, in place of the paper's loss, the pairing loss with R1 and R2 of R3GAN
(arXiv:2501.05441), which needs no further updates of the discriminator, and no augmentation. The variant cifar10 (9.26
FID in the paper) has the numbers of the authors' program for CIFAR-10, but that generator and discriminator see batches
of one size (128 and 64 there), and that the squared logits of real examples are kept small, not their squared mean. It
was built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits or cifar10."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=5e-4, b1=0.0, b2=0.99, clip=5.0, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.TransGANGenerator", width=128, depths=(2, 1), heads=4),
                discriminator=dict(name="nn.TransGANDiscriminator", outputs=1, width=96, depth=1, patch=2, heads=4),
                # num_classes=10 makes both players conditional on the digit
                conditioning=dict(name="nn.Conditioning", width=32, num_classes=0),
                loss=dict(name="losses.relativistic"),
                disc_penalties={
                    name: dict(name="losses.Penalty", of=dict(name=f"losses.{name}"), weight=0.5)
                    for name in ("r1", "r2")
                },
                latent=32,
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.998)),
            train=dict(
                steps=1200,
                batch_size=64,
                steps_per_call=10,
                log_every=100,
                checkpoint_every=400,
                keep=3,
                sample_every=400,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator = dict(name="nn.TransGANGenerator", width=1024, depths=(5, 4, 2), heads=4)
        config.family.discriminator = dict(
            name="nn.TransGANDiscriminator", outputs=1, width=384, depth=3, patch=2, heads=4
        )
        config.family.loss = dict(name="losses.wasserstein")
        config.family.disc_penalties = dict(
            gradient=dict(name="losses.Penalty", of=dict(name="losses.gradient_penalty"), weight=10.0),
            drift=dict(name="losses.Penalty", of=dict(name="losses.drift"), weight=1e-3),
        )
        config.family.augment = dict(name="losses.diff_augment", policy=("translation", "cutout", "color"))
        config.family.latent = 256
        for player in ("disc", "gen"):
            config.optim[player].learning_rate = 1e-4
        config.optim.gen.every = 4
        config.ema.gen = dict(halflife=7812, rampup=0.1)  # in updates of the generator: 500,000 images of 64 each
        config.train.update(
            steps=2_000_000, batch_size=64, steps_per_call=1, checkpoint_every=10_000, sample_every=10_000
        )
    return config
