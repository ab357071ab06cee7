"""Four adversarial methods on mixtures of Gaussians in the plane, where lost modes can be seen.

The relativistic loss with R1 and R2 of R3GAN, Huang et al. 2024 (arXiv:2501.05441); R1 with the non-saturating loss,
Mescheder et al. 2018 (arXiv:1801.04406); WGAN-GP, Gulrajani et al. 2017 (arXiv:1704.00028); and the non-saturating loss
alone, Goodfellow et al. 2014 (arXiv:1406.2661).

    python -m gen_jax.main --config=configs/gan/toys.py --workdir=runs/toys
    python -m gen_jax.main --config=configs/gan/toys.py:wgan_gp --config.data.name=gaussians_ring --workdir=runs/ring

The data are the grid of 25 Gaussians, or by --config.data.name=gaussians_ring the ring of 8. Every 1,000 steps the
modes are counted (evals/point_modes.py); sample grids are scatter plots. python benchmarks/toys.py compares all.

Measured on digits: not at all, these are networks for points of the plane.
"""

from ml_collections import ConfigDict

VARIANTS = ("r3gan", "r1", "wgan_gp", "vanilla")


def get_config(variant: str = "r3gan") -> ConfigDict:
    """The config of a variant, the method: r3gan, r1, wgan_gp or vanilla."""
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant '{variant}': known are {', '.join(VARIANTS)}")
    steps = 6000
    rate = dict(name="cosine_decay_schedule", init_value=2e-3, decay_steps=steps)
    disc, gen = (dict(name="adam", learning_rate=dict(rate), b1=0.0, b2=0.99, clip=None, every=1) for _ in range(2))
    config = ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.GAN",
                generator=dict(name="nn.MLP", features=(128, 128, 128), activation="relu"),
                discriminator=dict(name="nn.MLP", features=(128, 128, 128), outputs=1, activation="leaky_relu"),
                conditioning=dict(name="nn.Conditioning", width=64, num_classes=0),
                loss=dict(name="losses.relativistic"),
                latent=2,
                disc_penalties=dict(),
            ),
            data=dict(name="gaussians_grid"),
            optim=dict(disc=disc, gen=gen),
            ema=dict(gen=dict(decay=0.995)),
            train=dict(
                steps=steps,
                batch_size=256,
                steps_per_call=50,
                log_every=100,
                checkpoint_every=3000,
                keep=1,
                sample_every=2000,
                flip=False,
                max_skipped=10,
                on_collapse="warn",
            ),
            parallel=dict(data=1),
            sample=dict(num=2500, batch_size=2500, seed=0),
            evals=dict(every=1000, num=2500, metrics=dict(modes=dict(name="evals.point_modes"))),
        )
    )
    penalty = lambda name, weight: dict(name="losses.Penalty", of=dict(name=f"losses.{name}"), weight=weight, every=1)  # noqa: E731
    if variant == "r3gan":
        config.family.disc_penalties = dict(r1=penalty("r1", 0.1), r2=penalty("r2", 0.1))
    if variant == "r1":
        config.family.loss.name = "losses.non_saturating"
        config.family.disc_penalties = dict(r1=penalty("r1", 0.1))
    if variant == "wgan_gp":
        config.family.loss.name = "losses.wasserstein"
        config.family.disc_penalties = dict(gp=penalty("gradient_penalty", 0.1))
        config.optim.gen.every = 5
    if variant == "vanilla":
        config.family.loss.name = "losses.non_saturating"
    return config
