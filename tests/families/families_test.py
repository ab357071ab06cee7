"""One table runs every family: gradients, keys, layouts, samples, and the one compilation of a step."""

import functools
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gen_jax
from gen_jax.build import build
from gen_jax.errors import UserError
from gen_jax.training import parallel
from gen_jax.training.ema import make_tracks
from gen_jax.training.optim import make_optimizer
from gen_jax.training.state import init_state
from gen_jax.training.step import make_train_step

SHAPE, CLASSES = (8, 8, 1), 10
MLP = {"name": "nn.MLP", "features": (16,)}
DIFFUSION = {
    "name": "families.Diffusion",
    "network": {"name": "nn.DiT", "width": 16, "depth": 1, "heads": 2, "patch": 4},
    "schedule": {"name": "diffusion.Cosine"},
    "parameterization": {"name": "diffusion.v"},
    "sampler": {"name": "diffusion.Heun"},
    "steps": 3,
}
VAE = {
    "name": "families.VAE",
    "encoder": {**MLP, "outputs": 8},
    "decoder": {**MLP, "channels_per_value": 2},
    "likelihood": {"name": "losses.DiscretizedLogistic"},
    "latent": 4,
}
GAN = {
    "name": "families.GAN",
    "generator": {**MLP, "final": "tanh"},
    "discriminator": {**MLP, "outputs": 1},
    "loss": {"name": "losses.non_saturating"},
    "latent": 4,
}
DCGAN = {"widths": (8,), "kernel": 3}
RESIDUAL = {"name": "nn.ResNetDiscriminator", "widths": (8,), "flat": 0, "attention": (4,), "outputs": None}
PATCH = {"name": "nn.PatchDiscriminator", "width": 4, "layers": 1}
CYCLEGAN = {
    "name": "families.CycleGAN",
    # Without norms, beside which the biases of convolutions have no gradient.
    "generator": {"name": "nn.ResNetTranslator", "width": 4, "downs": 1, "blocks": 1, "norm": "none"},
    "discriminator": {**PATCH, "norm": "none"},
    "loss": {"name": "losses.least_squares"},
    "identity": 5.0,
    "pool": 20,
}


PLACES = {"width": 8, "hidden": 4, "blocks": 1}
CODEBOOK = {"name": "nn.VectorQuantizer", "num_codes": 16, "width": 4}
VQVAE = {
    "name": "families.Autoencoder",
    "encoder": {"name": "nn.PlaceEncoder", "channels": 4, "downs": 1, **PLACES},
    "decoder": {"name": "nn.PlaceDecoder", "ups": 1, **PLACES},
    "bottleneck": {**CODEBOOK, "revive": 0.1},
    "reconstruction": {"name": "losses.Gaussian"},
}


def penalty(name, **settings):
    return {"name": "losses.Penalty", "of": {"name": f"losses.{name}"}, **settings}


CONDITIONING = {"name": "nn.Conditioning", "width": 16, "num_classes": CLASSES}
CONSISTENCY = {
    "name": "families.Consistency",
    "network": MLP,
    "total_steps": 4,
    "first": 4,
    "last": 8,
    "steps": 2,
}
DDGAN = {
    "name": "families.DDGAN",
    "generator": MLP,
    "discriminator": {**MLP, "outputs": 1},
    "mapping": {"name": "nn.MappingNetwork", "features": 8, "layers": 1, "lr_multiplier": 1.0},
    "schedule": {"name": "diffusion.LinearBeta"},
    "loss": {"name": "losses.non_saturating"},
    "latent": 4,
}
MEANFLOW = {"name": "families.MeanFlow", "network": MLP, "instant": 0.3, "power": 0.5}
NEED_LABELS = (
    "vae_capacity",
    "gan_auxiliary",
    "gan_biggan",
    "diffusion_autoguided",
    "diffusion_classifier",
    "diffusion_guided",
    "meanflow_guided",
    "consistency_distilled",
    "distilled_adversarially",
)
STYLED = {"width": 8, "layers": 2, "channel_base": 64, "channel_max": 8, "lr_multiplier": 1.0}
GROWING = {
    **GAN,
    "generator": {"name": "nn.ProgressiveGenerator", "channel_base": 64, "channel_max": 8},
    # one group: the statistics of several depend on the order of a batch by definition
    "discriminator": {"name": "nn.ProgressiveDiscriminator", "channel_base": 64, "channel_max": 8, "group": None},
    "growth": {"name": "nn.Growth", "stages": 1, "hold": 2, "fade": 8, "start": 0.5},
}
TABLE = {
    "gan": GAN,
    "gan_progressive": {
        **GROWING,
        "loss": {"name": "losses.wasserstein"},
        "disc_penalties": {
            "gradient": penalty("gradient_penalty", weight=10.0),
            "drift": penalty("drift", weight=0.001),
        },
    },
    "gan_stylegan": {
        **GROWING,
        "generator": {"name": "nn.StyleGANGenerator", **STYLED},
        "discriminator": {**GROWING["discriminator"], "blur": (1, 2, 1)},
    },
    "gan_stylegan2": {
        **GAN,
        "generator": {"name": "nn.StyleGAN2Generator", **STYLED},
        "discriminator": {
            "name": "nn.StyleGAN2Discriminator",
            "channel_base": 64,
            "channel_max": 8,
            "group": None,
            "layers": 2,
            "lr_multiplier": 1.0,
        },
        "disc_penalties": {"r1": penalty("r1", every=2)},
        "gen_penalties": {"path": penalty("PathLength", every=2)},
    },
    "gan_minimax": {**GAN, "loss": {"name": "losses.minimax"}},
    "gan_little_data": {
        **GAN,
        "augment": {"name": "losses.ada"},
        "adaptive": {"name": "losses.AdaptiveProbability", "target": -0.9, "interval": 1, "images": 32},
        "pseudo": True,
        "spectral": ("disc",),
        "disc_penalties": {
            "r1": penalty("r1", every=2),
            "r2": penalty("r2", every=2),
            "lecam": penalty("LeCam", weight=0.1),
            "bcr": {
                "name": "losses.Penalty",
                "of": {
                    "name": "losses.balanced_consistency",
                    "augment": {"name": "losses.diff_augment", "policy": ("translation",)},
                },
            },
        },
    },
    "gan_r3": {
        **GAN,
        "generator": {"name": "nn.R3GANGenerator", "widths": (8, 4), "groups": (4, 2), "blocks": 1},
        "discriminator": {"name": "nn.R3GANDiscriminator", "widths": (8, 4), "groups": (4, 2), "blocks": 1},
        "loss": {"name": "losses.relativistic"},
        "disc_penalties": {
            "r1": {
                "name": "losses.Penalty",
                "of": {"name": "losses.r1"},
                "weight": {"name": "losses.cosine", "start": 1.0, "end": 0.1, "steps": 4},
            }
        },
    },
    "gan_diffused": {
        **GAN,
        "augment": {"name": "losses.Diffuse", "t_min": 2, "t_max": 20, "std": 0.5},
        "adaptive": {"name": "losses.AdaptiveProbability", "target": -0.9, "interval": 1, "images": 32},
        "disc_penalties": {"r1": penalty("r1", every=2)},
    },
    "gan_transformer": {
        **GAN,
        "generator": {"name": "nn.TransGANGenerator", "width": 32, "depths": (1, 1), "heads": 2},
        "discriminator": {"name": "nn.TransGANDiscriminator", "width": 16, "depth": 1, "patch": 2, "heads": 2},
        "augment": {"name": "losses.diff_augment"},
    },
    "gan_auxiliary": {**GAN, "discriminator": {**MLP, "outputs": 1 + CLASSES}, "auxiliary": 0.5},
    "gan_dcgan": {
        **GAN,
        "generator": {"name": "nn.Concatenate", "network": {"name": "nn.DCGANGenerator", **DCGAN}},
        "discriminator": {
            "name": "nn.Concatenate",
            "network": {"name": "nn.DCGANDiscriminator", **DCGAN, "widths": (4, 8)},
        },
        "loss": {"name": "losses.least_squares"},
    },
    "gan_biggan": {
        **GAN,
        "generator": {"name": "nn.BigGANGenerator", "width": 8, "multipliers": (1, 1), "attention": (8,), "shared": 4},
        "discriminator": {"name": "nn.Projection", "network": RESIDUAL},
        "loss": {"name": "losses.hinge"},
        "gen_penalties": {"orthogonal": penalty("orthogonal", every=2)},
        "spectral": ("disc", "gen"),
    },
    "cyclegan": CYCLEGAN,
    "pix2pix": {
        "name": "families.Pix2Pix",
        "generator": {"name": "nn.UNetTranslator", "width": 4, "depth": 2, "dropped": 1},
        "discriminator": {**PATCH, "norm": "instance_affine"},
        "loss": {"name": "losses.non_saturating"},
        "disc_penalties": {"r1": penalty("r1", every=2)},
    },
    "gan_penalized": {
        **GAN,
        "loss": {"name": "losses.hinge"},
        "disc_penalties": {
            "r1": penalty("r1", every=2),
            "r2": penalty("r2"),
            "gp": penalty("gradient_penalty"),
            "dragan": penalty("dragan"),
            "lecam": penalty("LeCam", every=2),
        },
        "gen_penalties": {"path": penalty("PathLength", every=2), "orthogonal": penalty("orthogonal", weight=1e-4)},
    },
    "vae": VAE,
    "vae_conv_gaussian": {
        **VAE,
        "encoder": {"name": "nn.ConvEncoder", "widths": (8,), "outputs": 8},
        "decoder": {"name": "nn.ConvDecoder", "widths": (8,)},
        "likelihood": {"name": "losses.Gaussian"},
    },
    "vae_gan": {
        "name": "families.VAEGAN",
        "encoder": VAE["encoder"],
        "latent": VAE["latent"],
        "decoder": {**MLP, "final": "tanh"},
        "discriminator": {**PATCH, "norm": "none"},
        "loss": {"name": "losses.non_saturating"},
        "layer": "conv_1",
    },
    "vae_bernoulli_beta": {**VAE, "decoder": MLP, "likelihood": {"name": "losses.Bernoulli"}, "beta": 4.0},
    "autoencoder_vq": VQVAE,
    "autoencoder_residual": {
        **VQVAE,
        "bottleneck": {"name": "nn.ResidualQuantizer", "of": {**CODEBOOK, "decay": None}, "levels": 2},
        "perceptual": {"name": "losses.RandomFeatures", "widths": (4, 4)},
    },
    "autoencoder_two_levels": {
        **VQVAE,
        "encoder": {**VQVAE["encoder"], "name": "nn.TwoLevelEncoder"},
        "decoder": {**VQVAE["decoder"], "name": "nn.TwoLevelDecoder"},
        "bottleneck": {"name": "nn.TwoLevelQuantizer", "of": CODEBOOK, "downs": 1},
    },
    "autoencoder_kl": {
        **VQVAE,
        "encoder": {**VQVAE["encoder"], "channels": 8},
        "bottleneck": {"name": "nn.KL", "width": 4},
        "reconstruction": {"name": "losses.Laplace"},
        "draws": "prior",
    },
    "autoencoder_gan": {
        **VQVAE,
        "bottleneck": {"name": "nn.FSQ", "levels": (5, 4, 3, 3)},
        "discriminator": {**PATCH, "norm": "none"},
        "loss": {"name": "losses.non_saturating"},
        "disc_penalties": {"r1": penalty("r1", every=2)},
        "matching": {"conv_0": 1.0},
        "draws": "prior",
    },
    "vae_free_bits": {**VAE, "divergence": {"name": "losses.FreeBits", "nats": 0.01}},
    "vae_capacity": {
        **VAE,
        "divergence": {"name": "losses.Capacity", "nats": {"name": "losses.linear", "start": 0, "end": 1, "steps": 4}},
        "prior": {"name": "nn.ClassNormal"},
    },
    "vae_total_correlation": {
        **VAE,
        "divergence": {"name": "losses.TotalCorrelation", "examples": 100},
        "beta": {"name": "losses.cyclical", "end": 2.0, "period": 4, "start": 0.5},
    },
    "vae_importance_weighted": {
        **VAE,
        "bound": {"name": "losses.ImportanceWeighted", "samples": 3},
        "prior": {"name": "nn.MixtureOfNormals", "components": 3},
    },
    "vae_vamp_doubly": {
        **VAE,
        "bound": {"name": "losses.ImportanceWeighted", "samples": 3, "doubly": True},
        "prior": {"name": "nn.VampPrior", "components": 3, "std": 0.3},
    },
    "vae_hierarchical": {
        "name": "families.HierarchicalVAE",
        "network": {
            "name": "nn.VDVAE",
            "encoder": ((8, 1), (2, 1)),
            "decoder": ((2, 1), (8, 2)),
            "width": 8,
            "latent": 2,
            "channels_per_value": 8,
        },
        "likelihood": {"name": "losses.DiscretizedLogisticMixture", "components": 2},
        "free_bits": 0.01,
    },
    "diffusion_v": DIFFUSION,
    "diffusion_flow": {
        **DIFFUSION,
        "schedule": {"name": "diffusion.RectifiedFlow"},
        "parameterization": {"name": "diffusion.flow"},
        "time": {"name": "diffusion.logit_normal"},
        "sampler": {"name": "diffusion.Euler"},
    },
    "diffusion_eps_unet": {
        **DIFFUSION,
        "network": {"name": "nn.UNet", "width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,), "groups": 4},
        "schedule": {"name": "diffusion.LinearBeta"},
        "parameterization": {"name": "diffusion.eps"},
        "weighting": {"name": "diffusion.min_snr"},
        "sampler": {"name": "diffusion.DDIM", "eta": 1.0},
        "start": 0.9,
        "end": 1e-3,
        "clip": 1.0,
    },
    "diffusion_x0": {
        **DIFFUSION,
        "parameterization": {"name": "diffusion.x0"},
        "time": {"name": "diffusion.stratified"},
    },
    "diffusion_edm": {
        **DIFFUSION,
        "network": MLP,
        "schedule": {"name": "diffusion.EDM"},
        "parameterization": {"name": "diffusion.edm"},
        "inputs": {"name": "diffusion.edm_inputs"},
        "time": {"name": "diffusion.log_normal"},
        "grid": {"name": "diffusion.karras_grid"},
        "sampler": {"name": "diffusion.EDMStochastic", "gamma": 0.2},
        "augment": {"name": "diffusion.GeometricAugment", "p": 0.5},
        "uncertainty": {"name": "nn.Uncertainty"},
        "start": 5.0,
        "end": 0.002,
        "denoise_last": True,
    },
    "diffusion_chain_self_conditioned": {
        **DIFFUSION,
        "network": {**DIFFUSION["network"], "channels_per_value": 2},
        "schedule": {"name": "diffusion.DiscreteCosine", "steps": 20},
        "parameterization": {"name": "diffusion.eps"},
        "inputs": {"name": "diffusion.step_input", "steps": 20},
        "time": {"name": "diffusion.discrete", "steps": 20},
        "grid": {"name": "diffusion.discrete_grid", "train_steps": 20},
        "sampler": {"name": "diffusion.Ancestral"},
        "chain": 20,
        "vlb_weight": 0.1,
        "self_condition": 0.5,
        "clip": 1.0,
    },
    "diffusion_autoguided": {
        **DIFFUSION,
        "network": MLP,
        "weak": {**DIFFUSION, "network": MLP, "conditioning": CONDITIONING},
        "guidance": {"auto": {"name": "diffusion.autoguidance", "scale": 2.0}},
    },
    "diffusion_classifier": {
        **DIFFUSION,
        "network": MLP,
        "classifier": {**MLP, "outputs": CLASSES},
        "guidance": {"classifier": {"name": "diffusion.classifier_guidance", "scale": 2.0}},
        "start": 0.98,
    },
    "diffusion_coupled": {
        **DIFFUSION,
        "network": MLP,
        "schedule": {"name": "diffusion.RectifiedFlow"},
        "parameterization": {"name": "diffusion.flow"},
        "coupling": {"name": "diffusion.optimal_transport"},
        "sampler": {"name": "diffusion.UniPC"},
    },
    "consistency": CONSISTENCY,
    "consistency_distilled": {
        **CONSISTENCY,
        "teacher": {
            **DIFFUSION,
            "network": MLP,
            "conditioning": CONDITIONING,
            "schedule": {"name": "diffusion.EDM"},
            "parameterization": {"name": "diffusion.edm"},
            "inputs": {"name": "diffusion.edm_inputs"},
            "start": 80.0,
            "end": 0.002,
        },
    },
    "ddgan": {**DDGAN, "disc_penalties": {"r1": penalty("r1", every=2)}},
    "distilled_adversarially": {
        "name": "families.AdversarialDistillation",
        "teacher": {**DIFFUSION, "network": MLP, "conditioning": CONDITIONING},
        "features": "film_0",
        "head": {**MLP, "outputs": 1},
        "head_weight": 1.0,
        "gen_weight": 1.0,
        "steps": 2,
    },
    "meanflow": MEANFLOW,
    "meanflow_guided": {**MEANFLOW, "omega": 0.5, "kappa": 0.5, "cond_drop": 0.2, "steps": 2},
    "vdm": {
        "name": "families.VDM",
        "network": {"name": "nn.FourierInputs", "network": DIFFUSION["network"], "exponents": (1, 2)},
        "noise": {"name": "nn.MonotoneNoise", "hidden": 8},
        "sampler": {"name": "diffusion.Ancestral"},
        "steps": 3,
    },
    "diffusion_guided": {
        **DIFFUSION,
        "guidance": {"cfg": {"name": "diffusion.classifier_free", "scale": 2.0}},
        "cond_drop": 0.2,
    },
}
# eps: a gradient that is zero but for rounding (a bias before an instance norm) is not blown up to a whole step
ADAM = {"name": "adam", "learning_rate": 1e-3, "eps": 1e-6}
ADAMS = {"gan_biggan": ADAM | {"eps": 1e-4}}


@functools.cache
def make(name, conditional=True):
    conditioning = {"name": "nn.Conditioning", "width": 16, "num_classes": CLASSES if conditional else 0}
    spec = TABLE[name] | {"conditioning": conditioning}
    return build(gen_jax, spec, shape=SHAPE, num_classes=CLASSES, image_shape=SHAPE)


def a_batch(n=16, seed=0):
    x_key, label_key, image_key = jax.random.split(jax.random.key(seed), 3)
    x, image = (jax.random.uniform(key, (n, *SHAPE), minval=-1, maxval=1) for key in (x_key, image_key))
    label = jax.random.randint(label_key, (n,), 0, CLASSES)
    return {"x": x, "image": image, "label": label, "index": jnp.arange(n)}


def a_cond(family, label):
    """Conditions for samples: `label`, and images of their own for those that translate."""
    cond = {"label": label, "image": a_batch(len(label))["image"]}
    return {name: cond[name] for name in getattr(family, "sample_keys", family.cond_keys)}


@functools.cache
def a_state(name, conditional=True):
    family = make(name, conditional)
    optimizers = {player: make_optimizer(ADAMS.get(name, ADAM)) for player in family.losses}
    tracks = make_tracks({player: {"decay": 0.9} for player in family.losses})
    batch = {k: v for k, v in a_batch().items() if k != "label" or "label" in family.cond_keys}

    @jax.jit
    def init():
        state = init_state(family, optimizers, tracks, jax.random.key(0), batch)
        # Some networks start at zero output or zero gates: moved off, so that every path carries something.
        moved = jax.tree.map(lambda p: p + 0.05 * jnp.sin(1 + 1.7 * jnp.arange(p.size)).reshape(p.shape), state.params)
        return state.replace(params=moved)

    return init(), optimizers, tracks


@pytest.mark.parametrize("name", TABLE)
def test_each_loss_is_finite_reaches_every_tensor_of_its_own_player_and_knows_no_order(name):
    """A loss is a mean over examples, each with noise of its own index: shuffled examples have the same loss."""
    family, batch = make(name), a_batch()
    state, _, _ = a_state(name)
    order = jax.random.permutation(jax.random.key(5), 16)
    for player, loss_fn in family.losses.items():

        def own_loss(own, batch, player=player, loss_fn=loss_fn):
            return loss_fn({**state.params, player: own}, state, batch, jax.random.key(1))[0]

        of_batch = jax.jit(jax.value_and_grad(own_loss))
        loss, grads = of_batch(state.params[player], batch)
        shuffled, _ = of_batch(state.params[player], {k: v[order] for k, v in batch.items()})
        np.testing.assert_allclose(shuffled, loss, rtol=1e-5)
        chex.assert_shape(loss, ())
        chex.assert_tree_all_finite((loss, grads))
        dead = [jax.tree_util.keystr(k) for k, g in jax.tree_util.tree_leaves_with_path(grads) if not jnp.any(g != 0)]
        assert not dead, f"no gradient reaches {dead}"


@pytest.mark.parametrize(
    "name",
    [
        *("gan", "gan_minimax", "gan_penalized", "gan_dcgan", "gan_diffused", "cyclegan", "pix2pix"),
        *("autoencoder_gan", "ddgan", "distilled_adversarially"),
    ],
)
def test_a_step_changes_each_player_by_its_own_loss_only(name):
    """Frozen optimizers for all but one player leave the others' parameters alone, to the last bit."""
    family, batch = make(name), a_batch()
    state, optimizers, tracks = a_state(name)
    for player in family.losses:
        frozen = {p: o if p == player else make_optimizer({"name": "set_to_zero"}) for p, o in optimizers.items()}
        own = init_state(family, frozen, tracks, jax.random.key(0), batch).replace(params=state.params)
        new, _ = jax.jit(make_train_step(family, frozen, tracks))(own, batch, jax.random.key(1))
        for other in family.losses:
            same = jax.tree.all(jax.tree.map(jnp.array_equal, new.params[other], state.params[other]))
            assert same == (other != player)


@pytest.mark.parametrize("name", TABLE)
def test_one_compilation_and_equal_updates_on_one_and_eight_devices(name):
    family = make(name)
    state, optimizers, tracks = a_state(name)
    chex.clear_trace_counter()
    step = make_train_step(family, optimizers, tracks)
    results = []
    for devices in (1, 8):
        mesh = parallel.make_mesh(devices)
        whole, split = parallel.replicated(mesh), parallel.split_batch(mesh)
        traced = jax.jit(
            chex.assert_max_traces(step, n=1), in_shardings=(whole, split, whole), out_shardings=whole, donate_argnums=0
        )
        on_devices = jax.device_put(jax.tree.map(jnp.copy, state), whole)
        for i in range(3):
            before = on_devices
            on_devices, metrics = traced(
                on_devices, jax.device_put(a_batch(seed=i), split), jax.device_put(jax.random.key(1), whole)
            )
            assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before)), "the state is not donated"
        results.append(jax.device_get((on_devices.params, on_devices.ema, metrics)))
        chex.clear_trace_counter()
    # Adam divides by the gradient's size, which makes rounding visible where a gradient is nearly zero.
    chex.assert_trees_all_close(*results, atol=3e-4, rtol=1e-3)


@pytest.mark.parametrize("name", TABLE)
def test_a_sample_depends_on_its_own_key_and_label_alone(name):
    family = make(name)
    state, _, _ = a_state(name)
    keys, label = jax.random.split(jax.random.key(3), 64), jnp.arange(64) % CLASSES
    sample = jax.jit(family.sample)
    cond = a_cond(family, label)
    whole = sample(state.params, state.extra, keys, cond)
    chex.assert_shape(whole, (64, *SHAPE))
    for start in (*range(0, 57, 7), 57):
        s = slice(start, start + 7)
        part = sample(state.params, state.extra, keys[s], {k: v[s] for k, v in cond.items()})
        np.testing.assert_allclose(part, whole[s], atol=1e-5 * max(1.0, float(jnp.abs(whole).max())))
    assert float(jnp.abs(whole[0] - whole[10]).max()) > 1e-4, "another key draws the same sample"
    other = sample(state.params, state.extra, keys, {**cond, "label": (label + 1) % CLASSES})
    assert float(jnp.abs(whole - other).max()) > 1e-4, "the label is not seen"


@pytest.mark.parametrize("name", [n for n in TABLE if n not in NEED_LABELS])
def test_unconditional_families_take_no_label(name):
    family = make(name, conditional=False)
    assert "label" not in family.cond_keys
    batch = {k: v for k, v in a_batch().items() if k != "label"}
    state, optimizers, tracks = a_state(name, conditional=False)
    new, metrics = jax.jit(make_train_step(family, optimizers, tracks))(state, batch, jax.random.key(1))
    chex.assert_tree_all_finite((new.params, metrics))
    keys = jax.random.split(jax.random.key(0), 2)
    cond = a_cond(family, jnp.zeros(2, jnp.int32))
    chex.assert_shape(jax.jit(family.sample)(new.params, new.extra, keys, cond), (2, *SHAPE))


def test_vae_loss_is_the_negative_elbo_at_beta_one():
    family, batch = make("vae"), a_batch()
    state, _, _ = a_state("vae")
    loss, (metrics, _) = family.losses["model"](state.params, state, batch, jax.random.key(0))
    np.testing.assert_allclose(loss, -metrics["elbo"], rtol=1e-6)
    np.testing.assert_allclose(metrics["elbo"], metrics["log_likelihood"] - metrics["kl"], rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_dim"], float(loss) / np.log(2) / 64, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 0}, ["steps=0", "at least 1"]),
        ({"start": 0.0}, ["start=0.0"]),
        ({"end": 1.5}, ["end=1.5"]),
        ({"parameterization": {"name": "diffusion.eps"}, "start": 1.0}, ["start=1.0", "0.98"]),
        ({"guidance": {"cfg": {"name": "diffusion.classifier_free"}}, "cond_drop": 0.0}, ["cond_drop", "guidance"]),
        ({"cond_drop": 1.5}, ["cond_drop=1.5"]),
        ({"clip": 0.0}, ["family.clip=0.0", "None"]),
        ({"chain": 0}, ["family.chain=0", "at least 1"]),
        ({"time": {"name": "diffusion.log_normal"}}, ["family.time", "[0, 1]", "logit_normal"]),
        ({"time": {"name": "diffusion.uniform", "low": -1.0}}, ["family.time", "from -0.9"]),
        ({"schedule": {"name": "diffusion.EDM"}, "start": math.inf}, ["family.start=inf", "no largest time", "80"]),
        (
            {"sampler": {"name": "diffusion.AdaptiveODE"}, "self_condition": 0.5},
            ["family.sampler=AdaptiveODE", "self_condition", "diffusion.Heun"],
        ),
        (
            {"guidance": {"cfg": {"name": "diffusion.classifier_free", "interval": (5.0, 1.0)}}, "cond_drop": 0.1},
            ["interval=(5.0, 1.0)", "low below high"],
        ),
        ({"sampler": {"name": "diffusion.DDIM", "eta": -1.0}}, ["DDIM: eta=-1.0"]),
        ({"guidance": {"auto": {"name": "diffusion.autoguidance"}}}, ["family.weak", "workdir"]),
        ({"weak": {**GAN, "conditioning": CONDITIONING}}, ["family.weak is a GAN"]),
    ],
)
def test_diffusion_refuses_what_cannot_be_sampled(changes, words):
    spec = DIFFUSION | {"conditioning": {"name": "nn.Conditioning", "width": 16}} | changes
    with pytest.raises(UserError) as error:
        build(gen_jax, spec, shape=SHAPE, num_classes=CLASSES)
    assert all(word in str(error.value) for word in words), str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("vae", {"latent": 5}, ["encoder", "outputs=10"]),
        ("vae", {"decoder": MLP}, ["decoder", "channels_per_value=2"]),
        ("gan", {"discriminator": {**MLP, "outputs": 3}}, ["discriminator", "outputs=1"]),
        ("gan", {"generator": {**MLP, "shape": (4, 4, 1)}}, ["generator", "(8, 8, 1)"]),
        ("diffusion_v", {"network": {**MLP, "outputs": 3}}, ["network", "(8, 8, 1)"]),
    ],
)
def test_networks_that_do_not_fit_each_other_are_told_before_training(name, changes, words):
    conditioning = {"name": "nn.Conditioning", "width": 16}
    spec = TABLE[name] | {"conditioning": conditioning} | changes
    family = build(gen_jax, spec, shape=SHAPE, num_classes=CLASSES)
    with pytest.raises(UserError) as error:
        jax.eval_shape(family.init, jax.random.key(0), a_batch())
    assert all(word in str(error.value) for word in words), str(error.value)
