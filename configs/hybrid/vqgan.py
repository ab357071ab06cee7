"""VQGAN: a VQ-VAE trained with a perceptual loss and against a patch discriminator.

Esser et al. 2021, Taming Transformers for High-Resolution Image Synthesis (arXiv:2012.09841), section 3.1: the
discriminator's weight adapts to the gradients at the decoder's last layer (equation 7).

    python -m gen_jax.main --config=configs/hybrid/vqgan.py --workdir=runs/vqgan
    python -m gen_jax.evaluate --workdir=runs/vqgan

It is the first stage of other models, and its samples are reconstructions: grids show image | reconstruction of the
test split, or of gen_jax.sample --source=FOLDER.

On digits random features stand in for LPIPS, which needs published weights and larger images, and moving averages with
revived codes move the codebook. Variants: digits, 4x4 codes of 64; shapes, 8x8 codes of 256 for 32x32 in colour, with
feature matching in the discriminator;
ffhq256 and imagenet256 (--config.data.path=DIR, a folder of images), the authors' f16: 16x16 codes of 1024, learned by
gradient, batch 12, learning rate 4.5e-6 times the batch, discriminator of weight 0.8 from step 30,001 (FFHQ) or 250,001
on (ImageNet).

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/vqgan.py): 200 s from the command to the last grid, compilation included. Reconstructions of
the test split: PSNR 25.1 dB, FID_own 0.6, 100.0% of the codes in use in a batch. The other variants were built, not
trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "shapes", "ffhq256", "imagenet256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, shapes, ffhq256 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=1e-3, b1=0.5, b2=0.9, clip=1.0, every=1)
    network = dict(width=24, multipliers=(1, 2), blocks=1, groups=8)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Autoencoder",
                encoder=dict(name="nn.LatentEncoder", channels=16, **network),
                decoder=dict(name="nn.LatentDecoder", **network),
                bottleneck=dict(
                    name="nn.VectorQuantizer", num_codes=64, width=16, beta=0.25, decay=0.99, revive=0.05, cosine=False
                ),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                reconstruction=dict(name="losses.Laplace"),
                perceptual=dict(name="losses.RandomFeatures", widths=(16, 32)),
                perceptual_weight=0.1,
                discriminator=dict(name="nn.PatchDiscriminator", width=32, layers=1, norm="none"),
                loss=dict(name="losses.hinge"),
                disc_weight=0.2,
                disc_start=300,
                adaptive=True,
                matching=dict(),  # weights by the discriminator's layers: dict(conv_0=1.0)
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, autoencoder=dict(adam)),  # two dicts: one would be set for both
            ema=dict(autoencoder=dict(decay=0.99)),
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
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=48, batch_size=64, seed=0),
            evals=dict(every=500, num=355, metrics=dict(psnr=dict(name="evals.psnr")), split="test"),
        )
    )
    if variant == "digits":
        return config
    config.evals = dict()
    if variant == "shapes":
        config.data = dict(name="shapes")
        config.family.encoder.multipliers = config.family.decoder.multipliers = (1, 2, 2)
        config.family.bottleneck.update(num_codes=256)
        config.family.discriminator.update(layers=2)
        config.family.matching = dict(conv_0=1.0, conv_1=1.0)
        config.train.update(steps=20_000, checkpoint_every=5000, sample_every=5000)
    if variant in ("ffhq256", "imagenet256"):
        network = dict(width=128, multipliers=(1, 1, 2, 2, 4), blocks=2, attention=(16,), groups=32)
        network.update(remat=True, dtype="bfloat16")
        config.family.encoder = dict(name="nn.LatentEncoder", channels=256, **network)
        config.family.decoder = dict(name="nn.LatentDecoder", **network)
        config.family.bottleneck.update(num_codes=1024, width=256, decay=None, revive=0.0)
        config.family.perceptual = dict(name="losses.LPIPS", net="vgg", weights=None, linear=None)
        config.family.discriminator = dict(
            name="nn.PatchDiscriminator", width=64, layers=3, norm="instance_affine", dtype="bfloat16"
        )
        starts = dict(ffhq256=30_001, imagenet256=250_001)
        config.family.update(perceptual_weight=1.0, disc_weight=0.8, disc_start=starts[variant])
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        for player in ("disc", "autoencoder"):
            config.optim[player].update(learning_rate=4.5e-6 * 12, clip=None)
        config.ema = dict()
        config.train.update(steps=500_000, batch_size=12, checkpoint_every=10_000, sample_every=10_000, flip=True)
    return config
