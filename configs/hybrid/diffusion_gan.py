"""Diffusion-GAN: both players' examples reach the discriminator with noise, the more of it the more it overfits.

Wang et al. 2022, Diffusion-GAN: Training GANs with Diffusion (arXiv:2206.02262).

    python -m gen_jax.main --config=configs/hybrid/diffusion_gan.py --workdir=runs/diffusion_gan
    python -m gen_jax.main --config=configs/hybrid/diffusion_gan.py:ffhq256 --config.data.path=DIR --workdir=runs/faces

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/diffusion_gan.py): 54 s from the command to the last grid, compilation included. A classifier
of the real digits reads 100.0% of 1,000 samples as the class that was asked; no copy of a training image; samples lie
0.80 times as far from the training images as held-out digits. FID_own 9.7, recall_own 0.78. The variants cifar10 (3.19
FID in the paper, unconditional StyleGAN2 without augmentation) and ffhq256 have the authors' networks
(configs/gan/stylegan2.py) and settings; they were built, not trained. The paper's FFHQ is of 1024x1024. The authors
draw 64 noise levels anew every fourth step, half of them zero, and each example's from these; here each is drawn by
itself, with the same chances. The discriminator is told the level by a projection on a mapped embedding.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "ffhq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or ffhq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=4e-4, b1=0.5, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(256, 256), norm="layer", final="tanh"),
                discriminator=dict(name="nn.MLP", features=(256, 256), outputs=1, activation="leaky_relu"),
                # num_classes=None: the data's. It also embeds the level of the noise, for the discriminator
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=None, mix="mlp"),
                loss=dict(name="losses.non_saturating"),
                latent=32,
                augment=dict(name="losses.Diffuse", t_min=10, t_max=500, std=0.2, levels="priority"),
                adaptive=dict(name="losses.AdaptiveProbability", target=0.6, interval=4, images=100_000),
            ),
            data=dict(name="digits"),
            optim=dict(disc=adam, gen=dict(adam)),  # two dicts: one would be set for both
            ema=dict(gen=dict(decay=0.999)),
            train=dict(
                steps=8000,
                batch_size=128,
                steps_per_call=10,
                log_every=100,
                checkpoint_every=2000,
                keep=3,
                sample_every=2000,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=-1),
            sample=dict(num=100, batch_size=100, seed=0),
            evals=dict(),
        )
    )
    if variant in ("cifar10", "ffhq256"):
        precision = dict(clamp=256.0, dtype="bfloat16")
        config.family.latent = 512
        config.family.conditioning.update(width=512, num_classes=0, mix="sum")
        config.family.generator = dict(name="nn.StyleGAN2Generator", width=512, channel_max=512, **precision)
        config.family.discriminator = dict(name="nn.StyleGAN2Discriminator", channel_max=512, **precision)
        config.family.augment = dict(name="losses.Diffuse", t_min=10, t_max=1000, std=0.05, levels="priority")
        r1 = dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=0.01, every=16)
        config.family.disc_penalties = dict(r1=r1)
        for player in config.optim.values():
            player.update(learning_rate=2.5e-3, b1=0.0, b2=0.99, eps=1e-8)
        config.train.update(steps_per_call=1, batch_size=64, checkpoint_every=10_000, sample_every=10_000)
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        config.family.generator.update(layers=2, channel_base=32768, mixing=0.0)
        config.family.discriminator.update(channel_base=32768, architecture="plain", group=32)
        config.ema.gen = dict(halflife=7812, rampup=0.05)  # 500,000 images
        config.train.steps = 781_250  # 50 million images
    if variant == "ffhq256":
        # resolution crops and resizes the images of the folder.
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        config.family.augment.levels = "uniform"
        config.family.generator.update(layers=8, channel_base=16384, mixing=0.9)
        config.family.discriminator.update(channel_base=16384, group=8)
        config.family.disc_penalties.r1.weight = 1.0
        config.family.gen_penalties = dict(
            path_length=dict(name="losses.Penalty", of=dict(name="losses.PathLength"), weight=2.0, every=4)
        )
        config.ema.gen = dict(halflife=312.5, rampup=1.0)  # 20,000 images
        config.train.update(steps=390_625, flip=True)
    return config
