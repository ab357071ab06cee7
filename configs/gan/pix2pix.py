"""pix2pix: translation between two domains, learned from pairs.

Isola et al. 2016, Image-to-Image Translation with Conditional Adversarial Networks (arXiv:1611.07004).

    python -m gen_jax.main --config=configs/gan/pix2pix.py --workdir=runs/pix2pix
    python -m gen_jax.evaluate --workdir=runs/pix2pix --evals=translation_error

digits: digits and their drawings by edges; with --config.data.kind=inverted or rotated other partners. shapes: shapes
in colour, 32x32, and the same in the opposite colours. folder: any pairs (--config.data.path=DIR with A/ and B/, or
images that show both side by side; --config.data.direction=BA from B to A), with the paper's network and numbers for
256x256; there, images were also enlarged to 286x286 and cropped at random, which is not done here.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/pix2pix.py): 33 s from the command to the last grid, compilation included. The translations of the
held-out digits are 0.122 times as far from the true ones as the digits themselves are. shapes, by the same measure
(python -m gen_jax.evaluate --evals=translation_error): 0.021. With kind=edges they are no nearer than the shapes
themselves (1.04 after 1,500 steps), of which the outlines differ in few pixels (0.022 of the range of colours).
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "shapes", "folder")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, shapes or folder."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=1e-3, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Pix2Pix",
                generator=dict(name="nn.UNetTranslator", width=32, depth=3, norm="none", dropout=0.5, dropped=1),
                discriminator=dict(name="nn.PatchDiscriminator", width=32, layers=1, norm="none"),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.non_saturating"),
                l1=100.0,
            ),
            data=dict(name="pairs", of="digits", kind="edges", paired=True, direction="AB"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.99)),
            train=dict(
                steps=1000,
                batch_size=32,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=50,
                checkpoint_every=500,
                keep=3,
                sample_every=500,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=48, batch_size=64, seed=0),
            evals=dict(),
        )
    )
    if variant == "shapes":
        config.data.update(of="shapes", kind="inverted", size=10_000)
        config.family.generator.dropped = 0  # its dropout would be noise in the colours
        config.family.discriminator.update(layers=2)
        config.train.update(batch_size=16)
    if variant == "folder":
        config.data = dict(
            name="pairs", of="folder", path=None, paired=True, direction="AB", resolution=256, channels=None,
            on_error="refuse",
        )  # fmt: skip
        config.family.generator = dict(
            name="nn.UNetTranslator", width=64, depth=8, norm="instance_affine", dropout=0.5, dropped=3
        )
        config.family.discriminator = dict(name="nn.PatchDiscriminator", width=64, layers=3, norm="instance_affine")
        for player in ("disc", "gen"):
            config.optim[player].learning_rate = 2e-4
        config.ema = dict()
        # 200 epochs of facades' 400 images
        config.train.update(
            steps=80_000, batch_size=1, log_every=100, checkpoint_every=4000, sample_every=4000, flip=True
        )
        config.sample.update(num=24, batch_size=8)
    return config
