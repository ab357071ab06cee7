"""Denoising diffusion GAN: a diffusion chain of four steps, each of them drawn by a GAN.

Xiao et al. 2021, Tackling the Generative Learning Trilemma with Denoising Diffusion GANs (arXiv:2112.07804).

    python -m gen_jax.main --config=configs/hybrid/ddgan.py --workdir=runs/ddgan
    python -m gen_jax.main --config=configs/hybrid/ddgan.py:celebahq256 --config.data.path=DIR --workdir=runs/faces

Measured on digits (2026-11-26, seed 0, two cores of an AMD EPYC, python benchmarks/gallery.py
--configs=configs/hybrid/ddgan.py): 97 s from the command to the last grid, compilation included. A classifier of the
real digits reads 99.7% of 1,000 samples as the class that was asked; no copy of a training image; samples lie 1.01
times as far from the training images as held-out digits. FID_own 7.6, recall_own 0.73. Four evaluations a sample. The
variants cifar10 (3.75 FID in the paper, four evaluations) and celebahq256 (7.64, two) have the settings of the authors'
program; they were built, not trained. Its generator scales and shifts both norms of a block by the latent alone and
adds the time; here a block's second norm is scaled and shifted by latent and time together. Its R1 penalty is not
multiplied by the number of steps between two payments, which the weights here allow for.
"""

from ml_collections import ConfigDict

VARIANTS = ("digits", "cifar10", "celebahq256")


def get_config(variant: str = "digits") -> ConfigDict:
    """The config of a variant: digits, cifar10 or celebahq256."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    adam = dict(name="adam", learning_rate=5e-4, b1=0.5, b2=0.9, clip=None, every=1)
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.DDGAN",
                generator=dict(name="nn.MLP", features=(256, 256, 256), norm="layer"),
                discriminator=dict(name="nn.MLP", features=(256, 256, 256), outputs=1, activation="leaky_relu"),
                # num_classes=None: the data's. mix="mlp" makes time and label large from the start, beside x_s and x_t
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=None, mix="mlp"),
                mapping=dict(name="nn.MappingNetwork", features=64, layers=2, lr_multiplier=1.0),
                schedule=dict(name="diffusion.LinearBeta", beta_min=0.1, beta_max=20.0),
                loss=dict(name="losses.non_saturating"),
                disc_penalties=dict(r1=dict(name="losses.Penalty", of=dict(name="losses.r1"), weight=0.02, every=8)),
                latent=32,
                steps=4,
                tanh=True,
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
    if variant == "cifar10":
        config.data = dict(name="cifar10", path=None)  # path: a local copy; None downloads through TensorFlow Datasets
        images(config, width=128, multipliers=(1, 2, 2, 2), critic=(128, 256, 512, 512), whole=1, layers=5)
        config.family.update(steps=4)
        config.family.disc_penalties.r1.update(weight=0.02 / 15, every=15)
        rates(config, disc=1.25e-4, gen=1.6e-4, steps=350_000)
        config.ema.gen.decay = 0.9999
        config.train.update(steps=350_000, batch_size=256, flip=True)
    if variant == "celebahq256":
        # resolution crops and resizes the images of the folder.
        config.data = dict(name="image_folder", path=None, resolution=256, channels=3, on_error="refuse")
        images(config, width=64, multipliers=(1, 1, 2, 2, 4, 4), critic=(256,) + (512,) * 5, whole=0, layers=4)
        config.family.update(steps=2)
        config.family.disc_penalties.r1.update(weight=2.0 / 10, every=10)
        rates(config, disc=1e-4, gen=2e-4, steps=750_000)
        config.ema.gen.decay = 0.9999
        config.train.update(steps=750_000, batch_size=32, flip=True)
        config.sample.update(num=36, batch_size=12)
    return config


def images(
    config: ConfigDict,
    width: int,
    multipliers: tuple[int, ...],
    critic: tuple[int, ...],
    whole: int,
    layers: int,
) -> None:
    """The published networks, unconditional. layers: of the latent's mapping, the first included."""
    config.family.generator = dict(
        name="nn.NCSNpp",
        width=width,
        multipliers=multipliers,
        blocks=2,
        attention=(16,),
        encoder="residual",
        taps=(1, 3, 3, 1),
        scale_shift=True,
    )
    config.family.discriminator = dict(
        name="nn.TimeDiscriminator", start=128, widths=critic, whole=whole, taps=(1, 3, 3, 1), group=4
    )
    # the paper counts its steps 0, 1, 2, 3
    config.family.conditioning.update(width=4 * width, noise_features=width, num_classes=0, noise_scale=4.0, mix="sum")
    config.family.mapping.update(features=256, layers=layers)
    config.family.latent = 100
    config.train.update(steps_per_call=1, checkpoint_every=10_000, sample_every=10_000)


def rates(config: ConfigDict, disc: float, gen: float, steps: int) -> None:
    """Half a cosine from these to 1e-5."""
    for player, rate in (("disc", disc), ("gen", gen)):
        cosine = dict(name="cosine_decay_schedule", init_value=rate, decay_steps=steps, alpha=1e-5 / rate)
        config.optim[player] = dict(name="adam", learning_rate=cosine, b1=0.5, b2=0.9, clip=None, every=1)
