"""The one train step: every player of any family in turn."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax

from gen_jax.training.ema import Track
from gen_jax.training.optim import Optimizer
from gen_jax.training.state import PlayerState
from gen_jax.types import Batch, Family, LossFn, Metrics, TrainState

TrainStep = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Metrics]]


def make_train_step(
    family: Family,
    optimizers: Mapping[str, Optimizer],
    tracks: Mapping[str, Track],
    prepare: Callable[[Batch, jax.Array], Batch] = lambda batch, key: batch,
) -> TrainStep:
    """The function (state, batch, key) -> (state, metrics) that updates each player of `family` once, in order.

    Each loss is differentiated with respect to its own player, and sees the players before it already updated. A
    player with every=k is updated in steps k, 2 k, ... and reports NaN in the others. An update whose loss or gradient
    is not finite is left out and counted (PlayerState), one whose gradient is larger than the optimizer's skip_above is
    left out and reported (large_gradients). `tracks` are the averages (ema.py): each follows
    e + (1 - d) (params - e) at every update of its player. `key` is the run's:
    what is random in a step depends on (key, state.step) alone. `prepare` is run on each batch on the device.

    The function is pure and is not compiled; see parallel.py.
    """

    def train_step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        batch = prepare(batch, jax.random.fold_in(key, 0))
        metrics: Metrics = {}
        for i, (player, loss_fn) in enumerate(family.losses.items()):
            optimizer, player_key = optimizers[player], jax.random.fold_in(key, 1 + i)
            own = {name: track for name, track in tracks.items() if track.player == player}

            def update(state, player=player, loss_fn=loss_fn, optimizer=optimizer, own=own, key=player_key):
                return _update(player, loss_fn, optimizer, own, state, batch, key)

            if optimizer.every == 1:
                state, reported = update(state)
            else:
                absent = jax.tree.map(lambda m: jnp.full(m.shape, jnp.nan, m.dtype), jax.eval_shape(update, state)[1])
                due = (state.step + 1) % optimizer.every == 0
                state, reported = jax.lax.cond(due, update, lambda state, absent=absent: (state, absent), state)
            prefix = f"{player}/" if len(family.losses) > 1 else ""
            metrics |= {prefix + name: value for name, value in reported.items()}
        return state.replace(step=state.step + 1), metrics

    return train_step


def scan_steps(train_step: TrainStep) -> TrainStep:
    """Several steps in one call: batches and metrics have a leading axis [steps_per_call, ...]."""

    def steps(state: TrainState, batches: Batch, key: jax.Array) -> tuple[TrainState, Metrics]:
        return jax.lax.scan(lambda state, batch: train_step(state, batch, key), state, batches)

    return steps


def _update(
    player: str,
    loss_fn: LossFn,
    optimizer: Optimizer,
    tracks: Mapping[str, Track],
    state: TrainState,
    batch: Batch,
    key: jax.Array,
) -> tuple[TrainState, Metrics]:
    """One player's update, or none where something was not finite."""
    own, opt = state.params[player], state.opt[player]

    def loss_of(own):
        return loss_fn({**state.params, player: own}, state, batch, key)

    (loss, (metrics, extra)), grads = jax.value_and_grad(loss_of, has_aux=True)(own)
    updates, inner = optimizer.transform.update(grads, opt.inner, own)
    new = optimizer.project(optax.apply_updates(own, updates))

    # One sum of squares per tensor serves the norm and the check; the order is that of state.watched.
    squares = jnp.stack([jnp.sum(jnp.square(g.astype(jnp.float32))) for g in jax.tree.leaves(grads)])
    finite = jnp.isfinite(jnp.concatenate([loss[None].astype(jnp.float32), squares]))
    ok = whole = finite.all()
    norms = {"grad_norm": jnp.sqrt(squares.sum())}
    if optimizer.skip_above is not None:  # not counted as skipped: it is no sign that training diverges
        large = whole & (norms["grad_norm"] > optimizer.skip_above)
        ok = whole & ~large
        norms["large_gradients"] = large.astype(jnp.float32)

    def keep(new, old):
        return jax.tree.map(lambda n, o: jnp.where(ok, n, o), new, old)

    first_bad = jnp.where(whole, opt.first_bad, jnp.argmin(finite).astype(jnp.int32))
    player_state = PlayerState(keep(inner, opt.inner), opt.skipped + ~whole, first_bad)
    state = state.replace(
        params={**state.params, player: keep(new, own)},
        opt={**state.opt, player: player_state},
        extra=keep(extra, state.extra),
    )
    step = state.step.astype(jnp.float32)
    averages = dict(state.ema)
    for name, track in tracks.items():
        rate = jnp.where(ok, 1 - track.decay(step), 0.0)
        averages[name] = jax.tree.map(lambda e, p, rate=rate: e + rate * (p - e), averages[name], state.params[player])
    state = state.replace(ema=averages)
    norms["param_norm"] = optax.tree.norm(state.params[player])
    return state, {"loss": loss} | metrics | norms
