"""The factory: what it builds, and what it says of mistakes."""

import optax
import pytest

import gen_jax
import gen_jax.diffusion
import gen_jax.losses
import gen_jax.nn
from gen_jax.build import build, names
from gen_jax.diffusion.samplers import DDIM, Heun
from gen_jax.errors import UserError
from gen_jax.losses.adversarial import minimax


def test_a_class_is_built_with_its_arguments():
    assert build(gen_jax.diffusion, {"name": "DDIM", "eta": 0.5}) == DDIM(eta=0.5)
    assert build(gen_jax, {"name": "diffusion.Heun"}) == Heun()


def test_a_function_is_returned_with_its_arguments_bound():
    assert build(gen_jax.losses, {"name": "minimax"}) is minimax
    guide = build(gen_jax.diffusion, {"name": "classifier_free", "scale": 3.0})
    assert guide.keywords == {"scale": 3.0}


def test_optax_is_a_module_like_any_other():
    transform = build(optax, {"name": "sgd", "learning_rate": 0.5})()
    updates, _ = transform.update(2.0, transform.init(1.0))
    assert float(updates) == -1.0


def test_specs_in_arguments_lists_and_dicts_are_built():
    spec = {
        "name": "families.Diffusion",
        "network": {"name": "nn.MLP"},
        "conditioning": {"name": "nn.Conditioning", "width": 8},
        "schedule": {"name": "diffusion.Cosine"},
        "parameterization": {"name": "diffusion.v"},
        "sampler": {"name": "diffusion.DDIM"},
        "guidance": {"cfg": {"name": "diffusion.classifier_free", "scale": 2.0}},
        "cond_drop": 0.1,
    }
    family = build(gen_jax, spec, shape=(8, 8, 1), num_classes=10)
    assert family.network.shape == (8, 8, 1)
    assert family.conditioning.num_classes == 10
    assert family.guidance["cfg"].keywords == {"scale": 2.0}


def test_what_the_data_says_fills_only_what_the_spec_leaves_open():
    fill = {"shape": (8, 8, 1), "num_classes": 10}
    assert build(gen_jax.nn, {"name": "MLP"}, **fill).shape == (8, 8, 1)
    assert build(gen_jax.nn, {"name": "MLP", "shape": [2, 2, 1]}, **fill).shape == (2, 2, 1)
    assert build(gen_jax.nn, {"name": "Conditioning", "width": 4, "num_classes": 0}, **fill).num_classes == 0
    assert build(gen_jax.nn, {"name": "Conditioning", "width": 4, "num_classes": None}, **fill).num_classes == 10


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"name": "nn.MPL"}, ["'MPL'", "did you mean 'MLP'", "Near: "]),
        ({"name": "networks.MLP"}, ["'networks'", "nn", "losses"]),
        ({"name": "nn.MLP", "featurs": (1,)}, ["'featurs'", "did you mean 'features'", "outputs"]),
        ({"name": "nn.Conditioning"}, ["nn.Conditioning", "width"]),
        ({"features": (1,)}, ["'name'", "features"]),
        ({"name": "families.VAE", "encoder": {"name": "nn.Nothing"}}, ["'Nothing'"]),
    ],
)
def test_mistakes_name_the_value_and_the_known_ones(spec, words):
    with pytest.raises(UserError) as error:
        build(gen_jax, spec)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("package", ["data", "diffusion", "families", "losses", "nn"])
def test_names_are_unique_within_a_package(package):
    """Two modules that define the same public name would make a spec ambiguous."""
    import importlib
    import inspect
    import pkgutil

    module = importlib.import_module(f"gen_jax.{package}")
    seen: dict[str, str] = {}
    for info in pkgutil.iter_modules(module.__path__):
        if info.name.startswith("_"):
            continue
        sub = importlib.import_module(f"{module.__name__}.{info.name}")
        for name, value in vars(sub).items():
            own = (inspect.isclass(value) or inspect.isfunction(value)) and value.__module__ == sub.__name__
            if own and not name.startswith("_"):
                assert name not in seen, f"{name} is defined in {seen[name]} and in {info.name}"
                seen[name] = info.name
    assert set(seen) == set(names(module))
