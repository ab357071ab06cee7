"""Averages of the parameters: by a decay, by a half-life, or by a power of time that is chosen after training.

A player's average is that of config.ema.PLAYER:

    {"decay": 0.9999}                     e += (1 - d) (p - e), d = min(decay, (1 + step) / (10 + step))
    {"halflife": 2000, "rampup": 0.05}    d = 2^(-1 / h), h = min(halflife, rampup * step), Karras et al. 2022
                                          (arXiv:2206.00364, app. F.1)
    {"halflife": 2000, "burn_in": 8000}   h rises from 0 along half a cosine within burn_in steps, R3GAN
                                          (arXiv:2501.05441), in the authors' program
    {"stds": (0.05, 0.1), "every": 500}   post-hoc: d = (1 - 1/step)^(gamma + 1), Karras et al. 2023
                                          (arXiv:2312.02696, sec. 3.1, app. C)

The last kind weighs the parameters p(t) of step t by t^gamma: a profile whose width, relative to the training so far,
is std. Each std is a track of its own, the first is the one that samples are drawn with; every `every` steps all tracks
are kept in DIR/snapshots, and `reconstruct` makes the average of any other std from them, after training.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError
from gen_jax.types import PyTree

KINDS = {
    "decay": {"decay"},
    "halflife": {"halflife", "rampup"},
    "burn_in": {"halflife", "burn_in"},
    "stds": {"stds", "every"},
}


@dataclasses.dataclass(frozen=True)
class Track:
    """One average of one player: decay(step) -> d in [0, 1), step float32 [] from 0. std: of post-hoc tracks."""

    player: str
    decay: Callable[[jax.Array], jax.Array]
    std: float | None = None


def make_tracks(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Track]:
    """The averages that config.ema asks for: by the player's name, and PLAYER@STD for further post-hoc tracks.

    Raises:
      UserError: a player's spec is of no kind that there is, or a number is out of range.
    """
    tracks: dict[str, Track] = {}
    for player, spec in config.items():
        kind = next((kind for kind, fields in KINDS.items() if set(spec) == fields), None)
        if kind is None:
            known = "; ".join(", ".join(sorted(fields)) for fields in KINDS.values())
            raise UserError(f"ema.{player} has the fields {', '.join(spec) or '(none)'}; it takes one of: {known}")
        if kind == "decay":
            _within(f"ema.{player}.decay", spec["decay"], 0, 1)
            tracks[player] = Track(player, functools.partial(_warmed_up, spec["decay"]))
        elif kind == "halflife":
            for name in ("halflife", "rampup"):
                _within(f"ema.{player}.{name}", spec[name], 1e-9, float("inf"))
            half, ramp = spec["halflife"], spec["rampup"]
            tracks[player] = Track(player, functools.partial(_halved, half, ramp))
        elif kind == "burn_in":
            for name in ("halflife", "burn_in"):
                _within(f"ema.{player}.{name}", spec[name], 1e-9, float("inf"))
            tracks[player] = Track(player, functools.partial(_burnt_in, spec["halflife"], spec["burn_in"]))
        else:
            if not spec["stds"] or len(set(spec["stds"])) < len(spec["stds"]) or spec["every"] < 1:
                raise UserError(f"ema.{player}: stds={spec['stds']} must differ, every={spec['every']} be 1 or more")
            for i, std in enumerate(spec["stds"]):
                _within(f"ema.{player}.stds", std, 0.005, 0.28)
                name = player if i == 0 else f"{player}@{std:g}"
                tracks[name] = Track(player, functools.partial(_power, gamma_of(std)), std)
    return tracks


def snapshot_interval(config: Mapping[str, Mapping[str, Any]]) -> int:
    """Every how many steps post-hoc tracks are kept; 0: there are none.

    Raises:
      UserError: players ask for different intervals.
    """
    intervals = {spec["every"] for spec in config.values() if "stds" in spec}
    if len(intervals) > 1:
        raise UserError(f"ema: every={', '.join(map(str, sorted(intervals)))}; all players need the same")
    return intervals.pop() if intervals else 0


def gamma_of(std: float) -> float:
    """The power of time of a profile of this relative width: std^2 = (g + 1) / ((g + 2)^2 (g + 3)), eq. 123."""
    a = std**-2
    roots = np.roots([1, 7, 16 - a, 12 - a])
    return float(np.max(roots.real[np.abs(roots.imag) < 1e-9]))


def weights(steps: Sequence[int], stds: Sequence[float], step: int, std: float) -> np.ndarray:
    """What each stored average (of `stds[i]` at `steps[i]`) adds to that of `std` at `step`: the least-squares fit
    of the profiles, algorithm 3 of the paper."""
    t, g = np.asarray(steps, np.float64), np.array([gamma_of(s) for s in stds])
    wanted_t, wanted_g = np.array([step], np.float64), np.array([gamma_of(std)])
    gram = _inner(t[:, None], g[:, None], t[None], g[None])
    return np.linalg.lstsq(gram, _inner(t, g, wanted_t, wanted_g), rcond=1e-12)[0]


def reconstruct(trees: Sequence[PyTree], steps: Sequence[int], stds: Sequence[float], step: int, std: float) -> PyTree:
    """The average of width `std` at `step`, of stored ones. Sums are made in float64, on the host.

    Raises:
      UserError: a width out of the range that profiles have.
    """
    _within("--ema", std, 0.005, 0.28)
    parts = weights(steps, stds, step, std)

    def combine(*leaves):
        total = sum(w * np.asarray(p, np.float64) for w, p in zip(parts, leaves, strict=True))
        return np.asarray(total, leaves[0].dtype)

    return jax.tree.map(combine, *trees)


def _warmed_up(limit: float, step: jax.Array) -> jax.Array:
    return jnp.minimum(limit, (1 + step) / (10 + step))


def _halved(halflife: float, rampup: float, step: jax.Array) -> jax.Array:
    return 0.5 ** (1 / jnp.minimum(halflife, rampup * (step + 1)))


def _burnt_in(halflife: float, steps: float, step: jax.Array) -> jax.Array:
    risen = (1 - jnp.cos(jnp.pi * jnp.minimum(step / steps, 1.0))) / 2
    return 0.5 ** (1 / jnp.maximum(halflife * risen, 1e-8))


def _power(gamma: float, step: jax.Array) -> jax.Array:
    return (1 - 1 / (step + 1)) ** (gamma + 1)


def _inner(t_a, g_a, t_b, g_b):
    """The integral of the product of two profiles (g + 1) t^g / T^(g + 1), each 0 after its own T."""
    # In logarithms: T^(2 g) overflows.
    low, high = np.minimum(t_a, t_b), np.maximum(t_a, t_b)
    g_high = np.where(t_a < t_b, g_b, g_a)
    return (g_a + 1) * (g_b + 1) / (g_a + g_b + 1) * np.exp(g_high * np.log(low / high)) / high


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise UserError(f"{name}={value}: it must be at least {low:g} and below {high:g}")
