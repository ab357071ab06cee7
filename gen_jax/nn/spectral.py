"""Spectral normalization of any network's parameters, outside of the network.

Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks" (arXiv:1802.05957), section 2.1 and
algorithm 1: W / sigma(W), with sigma by one step of power iteration per training step from the vector of the last one.
"""

import jax
import jax.numpy as jnp

from gen_jax.types import PyTree

KERNELS = ("kernel", "embedding", "weight")
"""The leaves that are normalized, when they have two axes or more: as matrices [in, out], out the last axis."""

SKIPPED = ("modulation",)
"""Layers that start at zero on purpose (layers.FiLM): they have no direction to normalize."""


def spectral_vectors(params: PyTree, key: jax.Array) -> dict[str, jax.Array]:
    """A random unit vector [out] for each kernel of `params`, by its path: what `spectral_normalize` carries."""
    found = {path: leaf for path, leaf in _leaves(params).items() if _is_kernel(path, leaf)}
    keys = jax.random.split(key, max(len(found), 1))[: len(found)]
    return {
        path: _unit(jax.random.normal(k, (leaf.shape[-1],)))
        for (path, leaf), k in zip(found.items(), keys, strict=True)
    }


def spectral_normalize(params: PyTree, vectors: dict[str, jax.Array]) -> tuple[PyTree, dict[str, jax.Array]]:
    """The parameters with every kernel divided by its largest singular value, and the vectors after one iteration.

    The gradient runs through sigma = u W v with u and v constant, as in the paper (section 2.1, equation 12)."""
    after = {}

    def normalize(path, leaf):
        name = _name(path)
        if name not in vectors:
            return leaf
        matrix = leaf.reshape(-1, leaf.shape[-1])  # [in, out]
        fixed = jax.lax.stop_gradient(matrix)
        u = _unit(fixed @ vectors[name])  # [in]
        v = _unit(u @ fixed)  # [out]
        after[name] = v
        return leaf / (u @ matrix @ v)

    return jax.tree_util.tree_map_with_path(normalize, params), after


def _leaves(params: PyTree) -> dict[str, jax.Array]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def _name(path) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_kernel(path: str, leaf: jax.Array) -> bool:
    parts = path.split("/")
    return leaf.ndim > 1 and parts[-1] in KERNELS and not any(part in SKIPPED for part in parts)


def _unit(x: jax.Array) -> jax.Array:
    return x / (jnp.linalg.norm(x) + 1e-12)
