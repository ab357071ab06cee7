"""MeanFlow: a flow model's average velocity, so that one evaluation draws a sample; class-conditional.

Geng et al. 2025, Mean Flows for One-step Generative Modeling (arXiv:2505.13447).

    python -m gen_jax.main --config=configs/diffusion/meanflow.py --workdir=runs/meanflow

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/diffusion/meanflow.py): 94 s from the command to the last grid, compilation included. A classifier of
the real digits reads 98.9% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 1.05
times as far from the training images as held-out digits. FID_own 17.6, recall_own 0.69. One evaluation a sample. The
variants cifar10 (2.92 FID in the paper) and imagenet256 (MeanFlow-XL/2 on latents, an .npz of x float32 [n, 32, 32, 4]
and label; 3.43 FID) were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.MeanFlow",
                network=dict(name="nn.DiT", width=128, depth=4, heads=4, patch=2),
                # du/dt, which the loss contains, grows with the time's frequencies: 1000 as elsewhere diverges
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=None, noise_scale=10.0),
                time=dict(name="diffusion.logit_normal", mean=-0.4, std=1.0),
                instant=0.5,
                power=0.75,
                omega=1.0,
                kappa=0.0,
                interval=(0.0, 1.0),
                cond_drop=0.1,
                steps=1,
            ),
            data=dict(name="digits"),
            optim=dict(
                model=dict(
                    name="adam",
                    learning_rate=dict(
                        name="warmup_cosine_decay_schedule",
                        init_value=0.0,
                        peak_value=2e-3,
                        warmup_steps=50,
                        decay_steps=600,
                        end_value=1e-5,
                    ),
                    clip=1.0,
                    every=1,
                )
            ),
            ema=dict(model=dict(decay=0.98)),
            train=dict(
                steps=600,
                batch_size=128,
                steps_per_call=10,
                log_every=50,
                checkpoint_every=300,
                keep=3,
                sample_every=300,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant == "cifar10":  # the paper's: app. A, unconditional
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.network = dict(
            name="nn.NCSNpp",
            width=128,
            multipliers=(2, 2, 2),
            blocks=4,
            attention=(16,),
            dropout=0.2,
            taps=(1, 3, 3, 1),
        )
        # without labels, "mlp" changes only how the layers start: as the paper's
        config.family.conditioning = dict(
            name="nn.Conditioning", width=512, num_classes=0, noise_features=256, noise_scale=1.0, mix="mlp"
        )
        config.family.time.update(mean=-2.0, std=2.0)
        config.family.update(instant=0.25, power=0.75, cond_drop=0.0)
        warmup = dict(name="linear_schedule", init_value=0.0, end_value=6e-4, transition_steps=10_000)
        config.optim.model = dict(name="adam", learning_rate=warmup, b2=0.999, clip=None, every=1)
        config.ema.model.decay = 0.99995
        config.train.update(
            steps=800_000, batch_size=1024, log_every=100, checkpoint_every=10_000, sample_every=10_000, flip=True
        )
    if variant == "imagenet256":  # the paper's: tab. 4, XL/2
        config.data = dict(name="arrays", path=None)  # latents of images and of mirrored images, times 0.18215
        config.family.network.update(width=1152, depth=28, heads=16, dtype="bfloat16")
        config.family.conditioning.update(width=1152, noise_features=256, noise_scale=1.0)
        config.family.update(instant=0.75, power=1.0, omega=0.2, kappa=0.92, interval=(0.0, 0.75))
        config.optim.model = dict(name="adam", learning_rate=1e-4, b2=0.95, clip=None, every=1)
        config.ema.model.decay = 0.9999
        config.train.update(
            steps=1_200_000, batch_size=256, log_every=100, checkpoint_every=10_000, sample_every=10_000
        )
    return config
