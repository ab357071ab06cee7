"""Features of images by a network: in batches of one size, over all devices, with no image left out."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gen_jax.errors import UserError
from gen_jax.types import PyTree

Apply = Callable[[jax.Array], tuple[jax.Array, jax.Array | None]]
"""uint8 images [b, h, w, c] -> (features [b, d] float32, logits [b, k] float32 or None)."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A feature network, ready to run.

    name: "inception", "dinov2" or "own". hash: sha256 of the weights, hexadecimal: features of two hashes are not
    comparable. resize: how images came to the network's size (resize.py), "none" where they were left as they are.
    apply: see `Apply`. dim: d, the features' width. accuracy: of the own classifier, the share of held-out images that
    it reads right, where there were any. prepare: makes images of what is none, such as sounds; None: they are images.
    """

    name: str
    hash: str
    resize: str
    apply: Apply
    dim: int
    accuracy: float | None = None
    prepare: Callable[[np.ndarray], np.ndarray] | None = None


class Features(NamedTuple):
    """features [n, d] float32 and, of networks that classify, logits [n, k] float32."""

    features: np.ndarray
    logits: np.ndarray | None


def bind(forward: Callable[[PyTree, jax.Array], Any], variables: PyTree) -> Apply:
    """The function x -> forward(variables, x), compiled, its products in full float32 on every kind of device.

    The variables are copied once to the devices that x lies on, and not built into the program."""
    compiled = jax.jit(forward)
    placed: dict[Mesh | None, PyTree] = {}

    def apply(x: jax.Array):
        mesh = getattr(getattr(x, "sharding", None), "mesh", None)
        if mesh not in placed:
            placed[mesh] = jax.device_put(variables, None if mesh is None else NamedSharding(mesh, PartitionSpec()))
        with jax.default_matmul_precision("highest"):  # GPUs and TPUs round the factors of products otherwise
            return compiled(placed[mesh], x)

    return apply


def extract(
    network: Network,
    images: np.ndarray | Iterable[np.ndarray],
    batch_size: int = 64,
    sharding: NamedSharding | None = None,
) -> Features:
    """The network's features, and logits if it has any, of all images in their order.

    Args:
      images: uint8 [n, h, w, c], or what `network.prepare` takes, or an iterable of such chunks of any lengths, which
        are not held together.
      batch_size: images in a batch, rounded up to what the devices share evenly. The last batch is filled up and the
        filling cut off afterwards.
      sharding: the layout of a batch; None splits it over all devices of this process.

    Raises:
      UserError: no images, images that are not uint8 [n, h, w, c], or chunks of different sizes.
    """
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size}: it must be at least 1")
    if sharding is None:
        sharding = NamedSharding(Mesh(np.asarray(jax.local_devices()), ("data",)), PartitionSpec("data"))
    if isinstance(images, np.ndarray):
        batch_size = max(1, min(batch_size, len(images)))
        images = [images]
    if network.prepare is not None:
        images = map(network.prepare, images)
    size = -(-batch_size // sharding.num_devices) * sharding.num_devices

    found: list[Features] = []
    running: tuple[Any, int] | None = None  # one batch ahead of the copy to the host
    for batch, count in _batches(images, size):
        started = network.apply(jax.device_put(batch, sharding)), count
        if running is not None:
            found.append(_fetch(*running))
        running = started
    if running is None:
        raise UserError("there are no images to take features of")
    found.append(_fetch(*running))
    logits = [f.logits for f in found if f.logits is not None]
    return Features(np.concatenate([f.features for f in found]), np.concatenate(logits) if logits else None)


def _fetch(out: tuple[jax.Array, jax.Array | None], count: int) -> Features:
    """The first `count` rows, on the host."""
    features, logits = jax.device_get(out)
    return Features(np.asarray(features)[:count], None if logits is None else np.asarray(logits)[:count])


def _batches(chunks: Iterable[np.ndarray], size: int) -> Iterator[tuple[np.ndarray, int]]:
    """The images in batches of exactly `size`, each with the number of those that are real: the first ones."""
    rest: np.ndarray | None = None
    for chunk in chunks:
        check_images(chunk)
        if rest is not None and chunk.shape[1:] != rest.shape[1:]:
            raise UserError(
                f"images of {list(chunk.shape[1:])} after some of {list(rest.shape[1:])}: all must be of one"
            )
        rest = chunk if rest is None or not len(rest) else np.concatenate([rest, chunk])
        while len(rest) >= size:
            yield rest[:size], size
            rest = rest[size:]
    if rest is not None and (count := len(rest)):
        yield np.pad(rest, ((0, size - count), (0, 0), (0, 0), (0, 0)), mode="edge"), count


def check_images(x: np.ndarray) -> None:
    """Raises UserError unless x is uint8 [n, h, w, c]."""
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 4:
        found = f"{x.dtype} {list(x.shape)}" if hasattr(x, "dtype") and hasattr(x, "shape") else type(x).__name__
        raise UserError(f"images must be uint8 [n, h, w, c] with values 0 to 255, these are {found}")
