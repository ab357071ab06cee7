"""MaskGIT: images as tokens of a VQ model, masked tokens learned by a transformer and filled in within a few steps.

Chang et al. 2022, MaskGIT: Masked Generative Image Transformer (arXiv:2202.04200): cosine masking (section 3.3), 8
steps of decoding by confidence (section 3.2), label smoothing 0.1, dropout 0.1, Adam with b2 = 0.96 (section 4.1).
Guidance, which the paper does not have: Chang et al. 2023, Muse (arXiv:2301.00704, section 2.7).

The tokens are a first stage's, which is trained before:

    python -m gen_jax.main --config=configs/vae/vq_vae.py --workdir=runs/vq_vae
    python -m gen_jax.main --config=configs/hybrid/maskgit.py --workdir=runs/maskgit

family.codec.workdir says which run that is. train.latent_cache=DIR keeps the tokens on disk, so that the first stage is
run over the data once only.

Variants: digits; cifar10, on vq_vae.py:cifar10's 8x8 codes; imagenet256, the paper's, on vqgan.py:imagenet256's 16x16
codes of 1,024 (FID 6.18 in the paper, 300 epochs).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/maskgit.py): 197 s from the command to the last grid, compilation included. A classifier of the
real digits reads 99.8% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 0.99
times as far from the training images as held-out digits. FID_own 12.4, recall_own 0.79.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "imagenet256")
FIRST_STAGE = {
    "digits": "configs/vae/vq_vae.py",
    "cifar10": "configs/vae/vq_vae.py:cifar10",
    "imagenet256": "configs/hybrid/vqgan.py:imagenet256",
}


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.MaskGIT",
                codec=dict(workdir="runs/vq_vae"),
                network=dict(name="nn.TokenTransformer", width=128, depth=4, heads=4, dropout=0.1),
                conditioning=dict(name="nn.Conditioning", width=128, num_classes=None),  # None: the data's classes
                steps=8,
                choice_temperature=4.5,
                smoothing=0.1,
                cond_drop=0.1,
                guidance=2.0,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adamw", learning_rate=1e-3, b2=0.96, weight_decay=0.01, clip=1.0, every=1)),
            ema=dict(model=dict(decay=0.99)),
            train=dict(
                steps=1500,
                batch_size=128,
                steps_per_call=10,
                log_every=50,
                checkpoint_every=500,
                keep=3,
                sample_every=500,
                flip=False,
                max_skipped=10,
                latent_cache=None,
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant != "digits":
        config.family.network.update(width=768, depth=24, heads=8, dtype="bfloat16")
        config.family.conditioning.width = 768
        config.family.update(cond_drop=0.0, guidance=1.0)
        config.optim.model = dict(name="adamw", learning_rate=1e-4, b2=0.96, weight_decay=4.5e-2, clip=3.0, every=1)
        config.ema.model.decay = 0.9999
        config.train.update(
            steps=1_500_000, batch_size=256, log_every=100, checkpoint_every=10_000, sample_every=10_000, flip=True
        )
    if variant == "cifar10":
        config.family.codec.workdir = "runs/vq_vae_cifar10"
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.network.update(width=512, depth=12)
        config.family.conditioning.width = 512
        config.train.update(steps=200_000)
    if variant == "imagenet256":
        config.family.codec.workdir = "runs/vqgan_imagenet256"
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="skip")
    return config
