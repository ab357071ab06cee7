"""Improved DDPM: a cosine schedule, and the variances of the reverse steps learned too.

Nichol & Dhariwal 2021, Improved Denoising Diffusion Probabilistic Models (arXiv:2102.09672).

    python -m gen_jax.main --config=configs/diffusion/improved_ddpm.py --workdir=runs/improved_ddpm

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/diffusion/improved_ddpm.py): 175 s from the command to the last grid, compilation included. Of 1,000
samples, as a classifier of the real digits reads them, all ten classes, the rarest 8.8% of them; no copy of a training
image; samples lie 1.12 times as far from the training images as held-out digits. FID_own 5.1, recall_own 0.96. Under
the model of an earlier run (2026-11-24, two cores of an Intel Xeon) held-out digits cost 4.74 bits/dim by the
probability flow ODE. The variants cifar10 (the paper's L_hybrid network; 3.19 FID there), imagenet64 and
imagenet64_class (class-conditional, of 270M parameters; 2.92 FID in the paper, 250 steps) were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet64", "imagenet64_class")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10, imagenet64 or imagenet64_class."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Diffusion",
                network=dict(
                    name="nn.UNet",
                    width=32,
                    multipliers=(1, 2),
                    blocks=1,
                    attention=(4,),
                    groups=8,
                    heads=4,
                    scale_shift=True,
                    dropout=0.0,
                    channels_per_value=2,
                ),
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=0, noise_features=32, noise_scale=1.0),
                schedule=dict(name="diffusion.DiscreteCosine", steps=1000),
                parameterization=dict(name="diffusion.eps"),
                inputs=dict(name="diffusion.step_input", steps=1000),
                time=dict(name="diffusion.discrete", steps=1000),
                sampler=dict(name="diffusion.Ancestral"),
                grid=dict(name="diffusion.discrete_grid", train_steps=1000),
                steps=100,
                clip=1.0,
                chain=1000,
                vlb_weight=0.001,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=1.0, every=1)),
            ema=dict(model=dict(decay=0.995)),
            train=dict(
                steps=1200,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a loop on one core of a CPU
                log_every=100,
                checkpoint_every=400,
                keep=3,
                sample_every=400,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant != "digits":  # the paper's: sec. 3 and app. A
        config.family.network.update(
            width=128, multipliers=(1, 2, 2, 2), blocks=3, attention=(16, 8), groups=32, dropout=0.3
        )
        # the steps of any chain are shown to the network as 0 ... 1000
        config.family.conditioning.update(width=512, noise_features=128, noise_scale=0.25)
        for part in (config.family.schedule, config.family.inputs, config.family.time):
            part.steps = 4000
        config.family.grid.update(train_steps=4000, spacing="linspace")
        config.family.update(chain=4000, steps=250)
        config.optim.model = dict(name="adam", learning_rate=1e-4, clip=None, every=1)
        config.ema.model.decay = 0.9999
        config.train.update(steps=500_000, batch_size=128, log_every=100, checkpoint_every=20_000, sample_every=20_000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
    if variant == "imagenet64":
        config.data = dict(name="tfds", dataset="downsampled_imagenet/64x64")
        config.family.network.update(multipliers=(1, 2, 3, 4), dropout=0.0)
        config.train.steps = 1_500_000
    if variant == "imagenet64_class":
        config.data = dict(name="tfds", dataset="imagenet_resized/64x64")
        config.family.network.update(width=192, multipliers=(1, 2, 3, 4), dropout=0.0)
        config.family.conditioning.update(width=768, noise_features=192, noise_scale=1.0, num_classes=None)
        config.family.vlb_weight = 1 / 4000  # of the bound of 4000 steps: one step's term counts once
        config.optim.model.learning_rate = 3e-4
        config.train.update(steps=250_000, batch_size=2048, checkpoint_every=10_000, sample_every=10_000)
    return config
