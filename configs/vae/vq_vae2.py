"""VQ-VAE-2: two levels of codes, a coarse one for what is where and a fine one for how it looks.

Razavi et al. 2019, Generating Diverse High-Fidelity Images with VQ-VAE-2 (arXiv:1906.00446): section 3.1 and table 1.

    python -m gen_jax.main --config=configs/vae/vq_vae2.py --workdir=runs/vq_vae2
    python -m gen_jax.evaluate --workdir=runs/vq_vae2

It is the first stage of other models, and its samples are reconstructions: grids show image | reconstruction of the
test split, or of gen_jax.sample --source=FOLDER. Both levels
stand in one sequence of tokens, the coarse one first.

Variants: digits, 2x2 and 4x4 codes of 64; imagenet256 and ffhq256 (--config.data.path=DIR, a folder of images), the
paper's 32x32 and 64x64 codes of 512 for ImageNet (table 1: 128 channels, residual blocks of 32, beta 0.25, decay 0.99,
batch 128, learning rate 3e-4); FFHQ has three levels at 1024x1024 there, and two at 256x256 here.

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/vae/vq_vae2.py): 57 s from the command to the last grid, compilation included. Reconstructions of the
test split: PSNR 26.0 dB, FID_own 1.2, 100.0% of the bottom level's codes in use in a batch, 96.2% of the top level's
codes in use in a batch. The other variants were built, not trained.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "ffhq256", "imagenet256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, ffhq256 or imagenet256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    network = dict(width=48, hidden=24, blocks=2)
    codebook = dict(name="nn.VectorQuantizer", num_codes=64, width=16, beta=0.25, decay=0.99, revive=0.05, cosine=False)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Autoencoder",
                encoder=dict(name="nn.TwoLevelEncoder", channels=16, downs=1, **network),
                decoder=dict(name="nn.TwoLevelDecoder", ups=1, **network),
                bottleneck=dict(name="nn.TwoLevelQuantizer", of=codebook, downs=1),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                reconstruction=dict(name="losses.Gaussian", std=0.5),
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3, clip=None, every=1)),
            ema=dict(model=dict(decay=0.99)),
            train=dict(
                steps=2000,
                batch_size=64,
                steps_per_call=1,  # XLA runs convolutions inside a scan on one core of a CPU
                log_every=100,
                checkpoint_every=1000,
                keep=3,
                sample_every=1000,
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
    network = dict(width=128, hidden=32, blocks=2)
    config.family.encoder = dict(name="nn.TwoLevelEncoder", channels=64, downs=2, **network)
    config.family.decoder = dict(name="nn.TwoLevelDecoder", ups=2, **network)
    config.family.bottleneck.update(downs=2)
    config.family.bottleneck.of.update(num_codes=512, width=64)
    config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
    config.optim.model.learning_rate = 3e-4
    config.ema = dict()
    config.evals = dict()
    config.train.update(steps=300_000, batch_size=128, checkpoint_every=10_000, sample_every=10_000, flip=True)
    if variant == "imagenet256":
        config.train.update(steps=2_200_000)
    return config
