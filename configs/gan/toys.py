"""Four adversarial methods on mixtures of Gaussians in the plane, where lost modes can be seen.

The relativistic loss with R1 and R2 of R3GAN, Huang et al. 2024 (arXiv:2501.05441); R1 with the non-saturating loss,
Mescheder et al. 2018 (arXiv:1801.04406); WGAN-GP, Gulrajani et al. 2017 (arXiv:1704.00028); and the non-saturating loss
alone, Goodfellow et al. 2014 (arXiv:1406.2661). The networks are the same for all, and small; penalties are weaker than
for images, as modes are narrow here, and WGAN-GP's critic is updated twice for each update of the generator, not five
times.

    python -m gen_jax.main --config=configs/gan/toys.py --workdir=runs/toys
    python -m gen_jax.main --config=configs/gan/toys.py:wgan_gp --config.data.name=gaussians_ring --workdir=runs/ring

The variants are the methods. The data are the grid of 25 Gaussians, or with --config.data.name=gaussians_ring the ring
of 8. Every 1,000 steps the modes are counted (evals/point_modes.py), and the pictures of samples are scatter plots.

Measured (2026-11-25, seed 0, two cores of an AMD EPYC, python benchmarks/toys.py): of 10,000 samples of each, all of
the grid's 25 modes are reached by every method, with 94.7% (r3gan), 93.8% (r1), 92.7% (wgan_gp) and 91.4% (vanilla) of
the samples within three standard deviations of one; the KL divergence of the modes' shares from even ones is 0.0015,
0.003, 0.07 and 0.12 nats, so vanilla is the least even. All of the ring's 8, with 96.2%, 95.8%, 95.5% and 97.2%.
"""

from ml_collections import ConfigDict

VARIANTS = ("r3gan", "r1", "wgan_gp", "vanilla")


def get_config(variant: str = "r3gan") -> ConfigDict:
    """The config of a variant, the method: r3gan, r1, wgan_gp or vanilla."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    steps = 10_000 if variant == "wgan_gp" else 6000
    rate = dict(name="cosine_decay_schedule", init_value=2e-3, decay_steps=steps)
    b2 = 0.9 if variant == "wgan_gp" else 0.99
    disc, gen = (dict(name="adam", learning_rate=dict(rate), b1=0.0, b2=b2, clip=None, every=1) for _ in range(2))
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(128, 128, 128, 128), activation="relu"),
                discriminator=dict(name="nn.MLP", features=(128, 128, 128), outputs=1, activation="leaky_relu"),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.relativistic"),
                latent=2,
                disc_penalties=dict(r1=_penalty("r1", 0.02), r2=_penalty("r2", 0.02)),
            ),
            data=dict(name="gaussians_grid"),
            optim=dict(disc=disc, gen=gen),
            ema=dict(gen=dict(decay=0.995)),
            train=dict(
                steps=steps,
                batch_size=256,
                steps_per_call=50,
                log_every=100,
                checkpoint_every=2000,
                keep=1,
                sample_every=2000,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=1),
            sample=dict(num=2500, batch_size=2500, seed=0),
            evals=dict(
                every=1000,
                num=2500,
                metrics=dict(modes=dict(name="evals.point_modes"), distance=dict(name="evals.sample_distance")),
            ),
        )
    )
    if variant == "r1":
        config.family.loss.name = "losses.non_saturating"
        config.family.disc_penalties = dict(r1=_penalty("r1", 0.02))
    if variant == "wgan_gp":
        config.family.loss.name = "losses.wasserstein"
        config.family.disc_penalties = dict(gp=_penalty("gradient_penalty", 0.1))
        config.optim.gen.every = 2
    if variant == "vanilla":
        config.family.loss.name = "losses.non_saturating"
        config.family.disc_penalties = dict()
    return config


def _penalty(name: str, weight: float) -> dict:
    return dict(name="losses.Penalty", of=dict(name=f"losses.{name}"), weight=weight, every=1)
