"""Quickstart: a class-conditional flow model of handwritten digits, or of your own images.

A diffusion transformer (Peebles & Xie 2022, arXiv:2212.09748) trained by flow matching (Lipman et al. 2022,
arXiv:2210.02747) and sampled with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    python -m gen_jax.main --config=configs/quickstart.py --workdir=runs/quickstart
    python -m gen_jax.main --config=configs/quickstart.py:folder --config.data.path=DIR --workdir=runs/mine

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/quickstart.py): 62 s from the command to the last grid, compilation included. A classifier of the real
digits reads 99.7% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 1.17 times as
far from the training images as held-out digits. FID_own 11.2, recall_own 0.80.

The folder variant is sized for a GPU. On a CPU make it smaller, as in this trial on 2,400 photos of 32x32 in three
classes (two cores, 5 min, 149 images/s, colours and layout of each class and no more): family.network.patch=4 width=128
depth=4, family.conditioning.width=128, train.steps=600, optim.model.learning_rate peak_value=1e-3 decay_steps=600
warmup_steps=50, ema.model.decay=0.98. It was not trained to its end.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "folder")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, or folder for any folder of images (sub-folders are classes)."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(
        name="adam",
        learning_rate=dict(
            name="warmup_cosine_decay_schedule",
            init_value=0.0,
            peak_value=2e-3,
            warmup_steps=50,
            decay_steps=500,
            end_value=1e-5,
        ),
        clip=1.0,
        every=1,
    )
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Diffusion",
                network=dict(name="nn.DiT", width=128, depth=4, heads=4, patch=2, dtype="float32"),
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=None),  # None: the data's classes
                schedule=dict(name="diffusion.RectifiedFlow"),
                parameterization=dict(name="diffusion.flow"),
                time=dict(name="diffusion.logit_normal", mean=0.0, std=1.0),
                sampler=dict(name="diffusion.Heun"),
                guidance=dict(cfg=dict(name="diffusion.classifier_free", scale=1.5)),
                steps=16,
                cond_drop=0.1,
            ),
            data=dict(name="digits"),
            optim=dict(model=adam),
            ema=dict(model=dict(decay=0.98)),
            train=dict(
                steps=500,
                batch_size=128,
                steps_per_call=10,  # one call into XLA for ten steps: a sixth faster here
                log_every=10,
                checkpoint_every=250,
                keep=3,
                sample_every=250,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant == "folder":
        # resolution=None takes the images as they are, all of one size; 64 crops and resizes them to 64x64.
        config.data = dict(name="image_folder", path=None, resolution=None, channels=None, on_error="refuse")
        config.family.network.update(width=256, depth=6, patch=None)  # None: the smallest with at most 256 tokens
        config.family.conditioning.width = 256
        config.optim.model.learning_rate.update(peak_value=5e-4, warmup_steps=200, decay_steps=5000)
        config.ema.model.decay = 0.999
        config.train.update(
            steps=5000, steps_per_call=5, batch_size=64, log_every=50, checkpoint_every=500, sample_every=500
        )
        config.sample.update(num=64, batch_size=64)
    return config
