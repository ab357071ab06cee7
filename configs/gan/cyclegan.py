"""CycleGAN: translation between two domains of which no pairs are known.

Zhu et al. 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks (arXiv:1703.10593).

    python -m gen_jax.main --config=configs/gan/cyclegan.py --workdir=runs/cyclegan
    python -m gen_jax.evaluate --workdir=runs/cyclegan --evals=translation_error
    python -m gen_jax.sample --workdir=runs/cyclegan --family='{"direction": "BA"}' --out=back.png

digits: digits as they are and white on black turned to black on white, never shown as pairs; with
--config.data.kind=edges or rotated other partners. shapes: filled shapes and their outlines, 32x32 in colour. folder:
any two folders of images (--config.data.path=DIR with trainA/, trainB/, testA/, testB/), with the paper's network and
numbers for 256x256; there, images were also enlarged to 286x286 and cropped at random, which is not done here.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/gan/cyclegan.py): 61 s from the command to the last grid, compilation included. The translations of
the held-out digits are 0.042 times as far from the true ones as the digits themselves are. With kind=edges (3,000
steps): 0.54. In 1,000 steps (236 s) shapes keep their colours, but few become outlines: 1.84, of shapes that are 0.022
of the range of colours away from their outlines to begin with.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "shapes", "folder")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, shapes or folder."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=4e-4, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.CycleGAN",
                # downs=0: one that halves the image was seen to see enough of it to turn zeros into ones
                generator=dict(name="nn.ResNetTranslator", width=24, downs=0, blocks=2, norm="instance"),
                discriminator=dict(name="nn.PatchDiscriminator", width=32, layers=1, norm="instance"),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.least_squares"),
                # the paper halves the discriminators' least squares only, losses.least_squares all
                adversarial=2.0,
                cycle=10.0,
                identity=0.0,
                pool=50,
                direction="AB",
            ),
            data=dict(name="pairs", of="digits", kind="inverted", paired=False, direction="AB"),
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
        config.data.update(of="shapes", kind="edges", size=10_000)
        # Norms of each image by itself would take the ground's colour away, and the identity loss keeps colours.
        config.family.generator.update(width=16, norm="none")
        config.family.identity = 5.0
        config.family.discriminator.layers = 2
        config.train.update(batch_size=16)
    if variant == "folder":
        config.data = dict(
            name="pairs", of="folder", path=None, paired=False, direction="AB", resolution=256, channels=None,
            on_error="refuse",
        )  # fmt: skip
        config.family.generator = dict(name="nn.ResNetTranslator", width=64, downs=2, blocks=9, norm="instance")
        config.family.discriminator = dict(name="nn.PatchDiscriminator", width=64, layers=3, norm="instance")
        # 100 epochs of horse2zebra's 1,334 images, and 100 in which the rate falls to zero
        half = 133_400
        rate = dict(
            name="linear_schedule", init_value=2e-4, end_value=0.0, transition_begin=half, transition_steps=half
        )
        config.optim = dict(disc={**adam, "learning_rate": rate}, gen={**adam, "learning_rate": dict(rate)})
        config.ema = dict()
        config.train.update(
            steps=266_800, batch_size=1, log_every=100, checkpoint_every=13_340, sample_every=13_340, flip=True
        )
        config.sample.update(num=24, batch_size=8)
    return config
