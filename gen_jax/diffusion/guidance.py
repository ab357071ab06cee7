"""Guidance: functions (denoise, schedule) -> denoise, so that any of them works with any sampler and they can be
composed in any order. Their other arguments are bound beforehand, by a config's spec or by functools.partial.

denoise(x [b, ...], t [b], cond) -> Prediction. A guided prediction keeps x = alpha x0 + sigma eps and the variance of
the prediction under the given condition; each example's depends on that example alone.

interval: (low, high), guidance acts where low < sigma / alpha <= high, Kynkaanniemi et al. 2024 (arXiv:2404.07724);
None: everywhere. A step whose whole batch lies outside does not pay for guidance. UserError unless low < high.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.diffusion.parameterization import Prediction
from gen_jax.diffusion.schedule import Schedule, expand
from gen_jax.errors import UserError
from gen_jax.nn.conditioning import null
from gen_jax.types import Cond

Denoise = Callable[[jax.Array, jax.Array, Cond], Prediction]
Guidance = Callable[[Denoise, Schedule], Denoise]
Interval = tuple[float, float] | None

_FLAT = 1e-12  # variances and squared lengths below it are taken for it, so that flat images have gradients


def classifier_free(
    denoise: Denoise, schedule: Schedule, scale: float = 1.0, interval: Interval = None, rescale: float = 0.0
) -> Denoise:
    """cond + (scale - 1) (cond - uncond), Ho & Salimans 2022 (arXiv:2207.12598, eq. 6 with scale = 1 + w).

    scale 1 is the conditional model itself, 0 the unconditional one. Both are evaluated in one batch of 2 b.
    rescale: how far the standard deviation of each guided x0 is brought back to the conditional one's, against
    over-exposure, Lin et al. 2023 (arXiv:2305.08891, eq. 15 and 16, phi); 0: not at all, 1: fully."""

    def guided(x, t, cond, on):
        strong, weak = _with_and_without(denoise, x, t, cond)
        out = _extrapolate(strong, weak, on * (scale - 1))
        if not rescale:
            return out
        wanted, got = (jnp.maximum(_variance(p.x0), _FLAT) for p in (strong, out))
        ratio = jnp.sqrt(wanted / got)
        return _with_x0(schedule, x, t, out, out.x0 * (1 + rescale * (ratio - 1)))

    return _within(interval, guided, denoise, schedule)


def adaptive_projected(
    denoise: Denoise,
    schedule: Schedule,
    scale: float = 1.0,
    norm: float | None = None,
    parallel: float = 0.0,
    interval: Interval = None,
) -> Denoise:
    """Classifier-free guidance without its oversaturation, Sadat et al. 2024 (arXiv:2410.02416, alg. 1).

    Of the change cond - uncond of x0, first shortened to the length `norm` (the paper's r; None: as it is), the part
    along x0 is taken `parallel` times (eta). parallel=1 with norm=None is classifier_free. The paper's momentum (beta)
    needs the changes of earlier steps; guidance sees one evaluation only, so this is its form with beta = 0."""

    def guided(x, t, cond, on):
        strong, weak = _with_and_without(denoise, x, t, cond)
        change = strong.x0 - weak.x0
        if norm is not None:
            change *= norm / jnp.sqrt(jnp.maximum(_dot(change, change), norm**2))
        along = _dot(change, strong.x0) / jnp.maximum(_dot(strong.x0, strong.x0), _FLAT) * strong.x0
        change += (parallel - 1) * along
        return _with_x0(schedule, x, t, strong, strong.x0 + on * (scale - 1) * change)

    return _within(interval, guided, denoise, schedule)


def autoguidance(
    denoise: Denoise, schedule: Schedule, weak: Denoise, scale: float = 1.0, interval: Interval = None
) -> Denoise:
    """Away from a worse model of the same data (smaller, or trained less), Karras et al. 2024 (arXiv:2406.02507):
    scale D1 + (1 - scale) D0. Both see the condition; scale 1 is the better model itself."""

    def guided(x, t, cond, on):
        return _extrapolate(denoise(x, t, cond), weak(x, t, cond), on * (scale - 1))

    return _within(interval, guided, denoise, schedule)


def classifier_guidance(
    denoise: Denoise,
    schedule: Schedule,
    classifier: Callable[[jax.Array, jax.Array], jax.Array],
    scale: float = 1.0,
    interval: Interval = None,
) -> Denoise:
    """eps - scale sigma grad log p(label | x_t), Dhariwal & Nichol 2021 (arXiv:2105.05233, alg. 2).

    classifier: (x_t [b, ...], t [b]) -> logits or log probabilities [b, classes], which treats examples apart. scale 0
    is the model itself, as is the label -1. Where alpha = 0, x says nothing of the data and nothing is changed.

    Raises:
      UserError: a condition without `label`."""

    def guided(x, t, cond, on):
        if "label" not in cond:
            raise UserError(f"classifier_guidance reads a label and was given: {', '.join(cond) or 'nothing'}")
        label = cond["label"]

        def log_prob(x):
            log_p = jax.nn.log_softmax(classifier(x, t))
            return jnp.take_along_axis(log_p, jnp.maximum(label, 0)[:, None], axis=1).sum()

        alpha, sigma = (expand(a, x) for a in schedule(t))
        active = expand(label >= 0, x) & (alpha > 0)
        push = jnp.where(active, on * scale * sigma * jax.grad(log_prob)(x), 0.0)
        out = denoise(x, t, cond)
        return out._replace(x0=out.x0 + sigma / jnp.where(active, alpha, 1.0) * push, eps=out.eps - push)

    return _within(interval, guided, denoise, schedule)


def clip_x0(denoise: Denoise, schedule: Schedule, limit: float = 1.0) -> Denoise:
    """x0 clipped to [-limit, limit], and eps such that x = alpha x0 + sigma eps still holds."""

    def clipped(x, t, cond):
        out = denoise(x, t, cond)
        return _with_x0(schedule, x, t, out, jnp.clip(out.x0, -limit, limit))

    return clipped


def dynamic_threshold(denoise: Denoise, schedule: Schedule, percentile: float = 99.5, limit: float = 1.0) -> Denoise:
    """x0 clipped to [-s, s] and multiplied by limit / s, where s is the `percentile` of |x0| over each example's
    values and `limit` at least, Saharia et al. 2022 (arXiv:2205.11487, sec. 2.3). percentile 0 is clip_x0."""

    def thresholded(x, t, cond):
        out = denoise(x, t, cond)
        size = jnp.abs(out.x0).reshape(x.shape[0], -1)
        s = expand(jnp.maximum(jnp.percentile(size, percentile, axis=1), limit), x)
        return _with_x0(schedule, x, t, out, jnp.clip(out.x0, -s, s) * (limit / s))

    return thresholded


def _within(interval: Interval, guided, denoise: Denoise, schedule: Schedule) -> Denoise:
    """guided(x, t, cond, on) with on [b, 1, ...]: 1 within the interval of sigma / alpha, and 0 outside of it."""
    if interval is None:
        return lambda x, t, cond: guided(x, t, cond, expand(jnp.ones_like(t), x))
    low, high = interval
    if not low < high:
        raise UserError(f"guidance interval={tuple(interval)}: it is (low, high) of sigma / alpha, with low below high")

    def limited(x, t, cond):
        alpha, sigma = schedule(t)
        level = sigma / jnp.maximum(alpha, 0.0)  # cos(pi / 2) is negative in float32
        on = (low < level) & (level <= high)
        guide = lambda: guided(x, t, cond, expand(on.astype(x.dtype), x))  # noqa: E731
        return jax.lax.cond(on.any(), guide, lambda: denoise(x, t, cond))

    return limited


def _with_and_without(denoise: Denoise, x, t, cond: Cond) -> tuple[Prediction, Prediction]:
    """The predictions under cond and under no condition, from one evaluation."""
    given, nothing = (x, t, dict(cond)), (x, t, null(cond))
    both = denoise(*jax.tree.map(lambda a, b: jnp.concatenate([a, b]), given, nothing))
    first, second = (jax.tree.map(lambda y, i=i: jnp.split(y, 2)[i], both) for i in range(2))
    return first, second


def _extrapolate(strong: Prediction, weak: Prediction, step) -> Prediction:
    """strong + step (strong - weak), which is `strong` itself, bit for bit, at step 0."""
    x0, eps = (s + step * (s - w) for s, w in zip(strong[:2], weak[:2], strict=True))
    return strong._replace(x0=x0, eps=eps)


def _with_x0(schedule: Schedule, x, t, out: Prediction, x0: jax.Array) -> Prediction:
    """`out` with another x0, and eps such that x = alpha x0 + sigma eps; eps is kept where x0 is, and at sigma = 0."""
    alpha, sigma = (expand(a, x) for a in schedule(t))
    noisy = sigma > 0
    eps = (x - alpha * x0) / jnp.where(noisy, sigma, 1.0)
    return out._replace(x0=x0, eps=jnp.where(noisy & (x0 != out.x0), eps, out.eps))


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """The inner product of each example's values [b, 1, ...]."""
    return jnp.sum(a * b, axis=tuple(range(1, a.ndim)), keepdims=True)


def _variance(x: jax.Array) -> jax.Array:
    """The variance of each example's values [b, 1, ...]."""
    return jnp.var(x, axis=tuple(range(1, x.ndim)), keepdims=True)
