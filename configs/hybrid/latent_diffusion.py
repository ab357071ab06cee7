"""Latent diffusion: a diffusion model, with a U-Net, of the latents of a trained autoencoder.

Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models (arXiv:2112.10752): 1,000 steps of
betas from 0.0015 to 0.0195 whose roots have equal distances, noise predicted, DDIM (appendix D, E); latents divided by
one standard deviation, that of the first batch (appendix G). Here each channel has its own, and its mean.

The latents are a first stage's, which is trained before:

    python -m gen_jax.main --config=configs/vae/kl_autoencoder.py --workdir=runs/kl_autoencoder
    python -m gen_jax.main --config=configs/hybrid/latent_diffusion.py --workdir=runs/latent_diffusion

family.codec.workdir says which run that is. train.latent_cache=DIR keeps the latents on disk, so that the first stage
is run over the data once only; images are not mirrored then.

Variants: digits; cifar10, on kl_autoencoder.py:cifar10's 8x8x4 latents; ffhq256 and imagenet256, on the f8
autoencoder's 32x32x4, with sizes and rates after the paper's appendix E (they were not compared with it line by line,
its FFHQ model has latents of another autoencoder, and labels enter by the vector in place of cross-attention).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/latent_diffusion.py): 238 s from the command to the last grid, compilation included. A
classifier of the real digits reads 99.3% of 1,000 samples as the class that was asked; no copy of a training image;
samples lie 1.00 times as far from the training images as held-out digits. FID_own 5.2, recall_own 0.92.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "ffhq256", "imagenet256")
FIRST_STAGE = {
    "digits": "configs/vae/kl_autoencoder.py",
    "cifar10": "configs/vae/kl_autoencoder.py:cifar10",
    "ffhq256": "configs/vae/kl_autoencoder.py:ffhq256",
    "imagenet256": "configs/vae/kl_autoencoder.py:imagenet256",
}


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10, ffhq256 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Latent",
                codec=dict(workdir="runs/kl_autoencoder"),
                model=dict(
                    name="families.Diffusion",
                    network=dict(
                        name="nn.UNet", width=48, multipliers=(1, 2), blocks=1, attention=(4, 2), groups=8, dropout=0.0
                    ),
                    conditioning=dict(name="nn.Conditioning", width=192, num_classes=None, noise_features=48),
                    schedule=dict(name="diffusion.DiscreteLinear", beta_start=0.0015, beta_end=0.0195, power=0.5),
                    parameterization=dict(name="diffusion.eps"),
                    time=dict(name="diffusion.discrete", steps=1000),
                    sampler=dict(name="diffusion.DDIM"),
                    grid=dict(name="diffusion.discrete_grid", train_steps=1000),
                    guidance=dict(cfg=dict(name="diffusion.classifier_free", scale=1.5)),
                    steps=50,
                    cond_drop=0.1,
                ),
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adamw", learning_rate=1e-3, weight_decay=0.01, clip=1.0, every=1)),
            ema=dict(model=dict(decay=0.995)),
            train=dict(
                steps=1500,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a loop on one core of a CPU
                log_every=100,
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
    if variant == "digits":
        return config
    model = config.family.model
    config.ema.model.decay = 0.9999
    config.train.update(checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":
        config.family.codec.workdir = "runs/kl_autoencoder_cifar10"
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        model.network.update(width=128, multipliers=(1, 2, 2), blocks=2, attention=(4, 8), groups=32)
        model.conditioning.update(width=512, noise_features=128)
        config.optim.model.learning_rate = 2e-4
        config.train.update(steps=200_000, batch_size=128, flip=True)
        return config
    config.family.scaling = "one"
    config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="skip")
    model.network = dict(
        name="nn.UNet",
        width=256,
        multipliers=(1, 2, 4),
        blocks=2,
        attention=(32, 16, 8),
        groups=32,
        scale_shift=True,
        dropout=0.0,
        remat=True,
        dtype="bfloat16",
    )
    model.conditioning.update(width=1024, noise_features=256)
    model.guidance = dict()
    model.update(steps=250, cond_drop=0.0)
    config.sample.update(num=36, batch_size=12)
    if variant == "ffhq256":
        config.family.codec.workdir = "runs/kl_autoencoder_ffhq256"
        model.conditioning.num_classes = 0
        config.optim.model.learning_rate = 8.4e-5
        config.train.update(steps=635_000, batch_size=42, flip=True)
    if variant == "imagenet256":
        config.family.codec.workdir = "runs/kl_autoencoder_imagenet256"
        config.optim.model.learning_rate = 6.4e-5
        config.train.update(steps=2_000_000, batch_size=64, flip=True)
    return config
