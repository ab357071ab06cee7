"""Quickstart."""

from ml_collections import ConfigDict

VARIANTS = ("digits",)


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    return ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Diffusion",
                network=dict(name="nn.DiT", width=128, depth=4, heads=4, patch=2),
                conditioning=dict(name="nn.Conditioning", width=128),
                schedule=dict(name="diffusion.RectifiedFlow"),
                parameterization=dict(name="diffusion.flow"),
                time=dict(name="diffusion.stratified"),
                sampler=dict(name="diffusion.Heun"),
                guidance=dict(cfg=dict(name="diffusion.classifier_free", scale=1.5)),
                steps=16,
                cond_drop=0.1,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=1.0)),
            ema=dict(model=dict(decay=0.99)),
            train=dict(
                steps=600,
                batch_size=128,
                steps_per_call=1,
                log_every=20,
                checkpoint_every=200,
                keep=3,
                sample_every=200,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
