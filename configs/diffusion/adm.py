"""ADM: an unconditional diffusion model, guided to a class by a classifier of noisy images.

Dhariwal & Nichol 2021, Diffusion Models Beat GANs on Image Synthesis (arXiv:2105.05233).

    python -m gen_jax.main --config=configs/diffusion/adm.py --workdir=runs/adm

Measured on digits: not yet.
The variant imagenet64 (2.07 FID in the paper, class-conditional and unguided) was built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet64")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or imagenet64."""
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
                    head_width=32,
                    scale_shift=True,
                    resblock_updown=True,
                    dropout=0.0,
                    channels_per_value=2,
                ),
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=0, noise_features=32, noise_scale=1.0),
                classifier=dict(name="nn.MLP", features=(256, 256), outputs=10),
                schedule=dict(name="diffusion.DiscreteCosine", steps=1000),
                parameterization=dict(name="diffusion.eps"),
                inputs=dict(name="diffusion.step_input", steps=1000),
                time=dict(name="diffusion.discrete", steps=1000),
                sampler=dict(name="diffusion.Ancestral"),
                grid=dict(name="diffusion.discrete_grid", train_steps=1000),
                guidance=dict(classifier=dict(name="diffusion.classifier_guidance", scale=3.0)),
                steps=100,
                clip=1.0,
                chain=1000,
                vlb_weight=0.001,
            ),
            data=dict(name="digits"),
            optim=dict(
                model=dict(name="adam", learning_rate=1e-3, clip=1.0, every=1),
                classifier=dict(name="adam", learning_rate=1e-3, clip=1.0, every=1),
            ),
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
    if variant != "digits":  # the paper's: app. I
        config.family.network.update(
            width=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(32, 16, 8), groups=32, head_width=64, dropout=0.1
        )
        config.family.conditioning.update(width=768, noise_features=192)
        config.family.classifier, config.family.guidance, config.family.steps = None, dict(), 250
        config.family.conditioning.num_classes = None  # the paper's ImageNet-64 model reads the class itself
        config.optim = dict(model=dict(name="adamw", learning_rate=3e-4, weight_decay=0.0, clip=None, every=1))
        config.ema.model.decay = 0.9999
        config.train.update(steps=540_000, batch_size=2048, log_every=100, checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":  # not in the paper: the same, for smaller images
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.network.update(width=128, multipliers=(1, 2, 2, 2), attention=(16, 8))
        config.family.conditioning.update(width=512, noise_features=128)
        config.optim.model.learning_rate = 1e-4
        config.train.update(steps=500_000, batch_size=128, flip=True)
    if variant == "imagenet64":
        config.data = dict(name="tfds", dataset="imagenet_resized/64x64")
    return config
