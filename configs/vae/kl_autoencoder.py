"""The KL autoencoder of latent diffusion: continuous latents on a small grid, barely noisy, judged by a discriminator.

Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models (arXiv:2112.10752): section 3.1,
appendix G; networks of Esser et al. 2021 (arXiv:2012.09841).

    python -m gen_jax.main --config=configs/vae/kl_autoencoder.py --workdir=runs/kl_autoencoder
    python -m gen_jax.evaluate --workdir=runs/kl_autoencoder

It is the first stage of other models, and its samples are reconstructions: grids show image | reconstruction of the
test split, or of gen_jax.sample --source=FOLDER. The prior is not one to
draw from: with so small a weight of the KL term the latents are far from standard normal.

On digits there is no discriminator, and random features stand in for LPIPS, which needs published weights and larger
images. Variants: digits, latents 4x4x4; mnist, 7x7x4; cifar10, 8x8x4; imagenet256 and ffhq256
(--config.data.path=DIR, a folder of images), the paper's f8 with 4 channels (the first stage of Stable Diffusion, 83.7M
parameters): learning rate 4.5e-6 times the batch, LPIPS of weight 1, a patch discriminator of weight 0.5 from step
50,001 on, KL weight 1e-6, in bfloat16.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/vae/kl_autoencoder.py): 108 s from the command to the last grid, compilation included. Reconstructions
of the test split: PSNR 33.3 dB, FID_own 0.08. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "mnist", "cifar10", "ffhq256", "imagenet256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, mnist, cifar10, ffhq256 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    network = dict(width=24, multipliers=(1, 2), blocks=1, groups=8)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Autoencoder",
                encoder=dict(name="nn.LatentEncoder", channels=8, **network),
                decoder=dict(name="nn.LatentDecoder", **network),
                bottleneck=dict(name="nn.KL", width=4, weight=1e-4),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                reconstruction=dict(name="losses.Laplace"),
                perceptual=dict(name="losses.RandomFeatures", widths=(16, 32)),
                perceptual_weight=0.1,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=1.0, every=1)),
            ema=dict(model=dict(decay=0.99)),
            train=dict(
                steps=1000,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=100,
                checkpoint_every=500,
                keep=3,
                sample_every=500,
                flip=False,
                max_skipped=10,
            ),
            parallel=dict(data=-1),
            sample=dict(num=48, batch_size=64, seed=0),
            evals=dict(every=500, num=355, metrics=dict(psnr=dict(name="evals.psnr")), split="test"),
        )
    )
    if variant == "digits":
        return config
    config.evals = dict()
    config.ema = dict()
    config.data = dict(name=variant, path=None)  # path: a local copy; None downloads through TensorFlow Datasets
    config.train.update(steps=100_000, checkpoint_every=10_000, sample_every=10_000)
    if variant == "mnist":
        config.family.encoder.multipliers = config.family.decoder.multipliers = (1, 2, 2)
    if variant == "cifar10":
        network = dict(width=64, multipliers=(1, 2, 2), blocks=2, groups=32)
        config.family.encoder.update(network)
        config.family.decoder.update(network)
        config.train.update(flip=True)
    if variant in ("ffhq256", "imagenet256"):
        network = dict(width=128, multipliers=(1, 2, 4, 4), blocks=2, groups=32, remat=True, dtype="bfloat16")
        config.family.encoder = dict(name="nn.LatentEncoder", channels=8, **network)
        config.family.decoder = dict(name="nn.LatentDecoder", **network)
        config.family.bottleneck.weight = 1e-6
        config.family.perceptual = dict(name="losses.LPIPS", net="vgg", weights=None, linear=None)
        config.family.update(
            perceptual_weight=1.0,
            loss=dict(name="losses.hinge"),
            disc_weight=0.5,
            disc_start=50_001,
            adaptive=True,
        )
        config.family.discriminator = dict(
            name="nn.PatchDiscriminator", width=64, layers=3, norm="instance_affine", dtype="bfloat16"
        )
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        adam = dict(name="adam", learning_rate=4.5e-6 * 12, b1=0.5, b2=0.9, clip=None, every=1)
        config.optim = dict(disc=adam, autoencoder=dict(adam))  # two dicts: one would be set for both
        config.train.update(steps=250_000, batch_size=12, flip=True)
    return config
