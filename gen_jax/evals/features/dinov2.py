"""DINOv2: Oquab et al. 2023 (arXiv:2304.07193), vision transformers trained without labels; with registers, Darcet et
al. 2023 (arXiv:2309.16588).

Stein et al. 2023 (arXiv:2306.04675) found the Fréchet distance of these features nearer to what people see than that of
Inception's, which know the classes of ImageNet.
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.errors import UserError, unknown
from gen_jax.evals.features.extract import Network, bind
from gen_jax.evals.features.resize import MODES, cubic, resize, resize_matrix
from gen_jax.nn.attention import SelfAttention
from gen_jax.nn.layers import to_rgb
from gen_jax.nn.pretrained.weights import Published, Weights, load, variables
from gen_jax.types import PyTree

SIZE, PATCH = 224, 14
GRID = SIZE // PATCH
HEAD_WIDTH = 64
# Of ImageNet's RGB in [0, 1].
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)

# Facebook publishes no checksums. These are of its files as refiners converts them, and as others found them.
CHECKSUMS = {
    ("S", False): "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9",
    ("S", True): "f433177089a681826f849f194ece3bb48f4d63fb38d32fc837e3dc7a4e5641fb",
    ("B", False): "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73",
    ("B", True): "73182a088cf94833c94b1666d1c99e02fe87e2007bff57b564fb6206e25dba71",
    ("L", False): "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
    ("L", True): "36e4deffbaef061a2576705b0c36f93621e2ae20bf6274694821b0b492551b51",
}
MEGABYTES = {"S": 88, "B": 346, "L": 1218}


def dinov2(weights: str | None = None, size: str = "L", registers: bool = False, resize: str = "clean") -> Network:
    """DINOv2's class token after the last normalization: 384 (S), 768 (B) or 1,024 (L) features, and no logits.

    Images of any size are resized to 224x224 and normalized with ImageNet's mean and deviation; grey ones are seen as
    RGB. Published figures are mostly of ViT-L without registers and with Pillow's bicubic filter, as "clean": rounded
    to bytes where they follow Stein et al., not clipped where they follow EDM2.

    Args:
      weights: the file (.pth or .safetensors), of any of these sizes; None: the published one of `size` and
        `registers`, from the weights' folder or downloaded.
      resize: "clean", "tf-legacy" (torch-fidelity's) or "pytorch-fid".

    Raises:
      UserError: an unknown size or resize mode; see weights.load for the file.
    """
    if size not in MEGABYTES:
        raise unknown("size of DINOv2", size, MEGABYTES)
    if resize not in MODES:
        raise unknown("resize mode", resize, MODES)
    found = load(published(size, registers), weights)
    network, tree = build(found)

    def forward(tree: PyTree, x: jax.Array) -> tuple[jax.Array, None]:
        return network.apply(tree, scale(x, resize)), None  # type: ignore[return-value]

    return Network("dinov2", found.hash, resize, bind(forward, tree), network.width)


def scale(x: jax.Array, mode: str) -> jax.Array:
    """uint8 images [b, h, w, 1 or 3] as the network takes them: float32 [b, 224, 224, 3]."""
    return (resize(to_rgb(x), SIZE, mode) / 255 - MEAN) / STD


def build(weights: Weights) -> tuple["ViT", PyTree]:
    """The network that the weights are of, and its variables. Raises UserError where they are of none."""
    positions = weights.tensors.get("pos_embed")
    if positions is None or positions.ndim != 3 or math.isqrt(positions.shape[1] - 1) ** 2 != positions.shape[1] - 1:
        raise UserError(f"{weights.file} is not of a DINOv2: it has no pos_embed [1, 1 + n * n, d]")
    depth = len({name.split(".")[1] for name in weights.tensors if name.startswith("blocks.")})
    registers = weights.tensors.get("register_tokens", np.zeros((1, 0, 0))).shape[1]
    network = ViT(positions.shape[2], depth, registers)
    tensors = {**weights.tensors, "pos_embed": interpolate(positions, antialias=registers > 0)}
    tree = variables(
        network,
        dataclasses.replace(weights, tensors=tensors),
        jax.ShapeDtypeStruct((1, SIZE, SIZE, 3), jnp.float32),
        renamed={"patch_embed.proj": "patch_embed", "attn.proj": "attn.out", ".gamma": "", "mlp.": ""},
    )
    return network, tree


def interpolate(positions: np.ndarray, antialias: bool) -> np.ndarray:
    """Positions [1, 1 + n * n, d], trained on n x n patches (37 x 37), for the 16 x 16 of an image of 224x224.

    By a cubic, as the published code: with registers the antialiased one of `clean`; without, one of slope -3/4 and no
    filter, on a grid whose scale is n / 16.1, not n / 16."""
    n = math.isqrt(positions.shape[1] - 1)
    if n == GRID:
        return positions
    if antialias:
        matrix = resize_matrix(n, GRID, "clean")
    else:
        matrix = np.zeros((GRID, n))
        at = (np.arange(GRID) + 0.5) * n / (GRID + 0.1) - 0.5
        for step in range(-1, 3):
            pixel = np.floor(at).astype(int) + step
            np.add.at(matrix, (np.arange(GRID), np.clip(pixel, 0, n - 1)), cubic(at - pixel, a=-0.75))
    grid = positions[:, 1:].reshape(n, n, -1)
    grid = np.einsum("pi,qj,ijd->pqd", matrix, matrix, grid, optimize=True).reshape(1, GRID * GRID, -1)
    return np.concatenate([positions[:, :1], grid], axis=1).astype(np.float32)


def published(size: str, registers: bool) -> Published:
    """The file of that size."""
    model = f"dinov2_vit{size.lower()}14"
    name = f"{model}{'_reg4' if registers else ''}_pretrain.pth"
    return Published(
        name=name,
        url=f"https://dl.fbaipublicfiles.com/dinov2/{model}/{name}",
        sha256=CHECKSUMS[size, registers],
        megabytes=MEGABYTES[size],
        instead="fid_own, by a classifier trained on the data themselves",
    )


class ViT(nn.Module):
    """Normalized images [b, 224, 224, 3] -> the class token [b, width]. Names and shapes are the published weights'."""

    width: int
    depth: int
    registers: int = 0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        zeros, (b, d) = nn.initializers.zeros, (x.shape[0], self.width)
        x = nn.Conv(d, (PATCH, PATCH), (PATCH, PATCH), "VALID", name="patch_embed")(x)
        x = x.reshape(b, -1, d)  # [b, 16 * 16, d]
        first = jnp.broadcast_to(self.param("cls_token", zeros, (1, 1, d)), (b, 1, d))
        x = jnp.concatenate([first, x], axis=1)
        x = x + self.param("pos_embed", zeros, (1, x.shape[1], d))
        if self.registers:  # without a position
            tokens = self.param("register_tokens", zeros, (1, self.registers, d))
            x = jnp.concatenate([x, jnp.broadcast_to(tokens, (b, self.registers, d))], axis=1)
        for i in range(self.depth):
            x = Block(name=f"blocks_{i}")(x)
        return nn.LayerNorm(epsilon=1e-6, name="norm")(x[:, 0])


class Block(nn.Module):
    """Attention, then two layers, each normalized before and scaled by a learned vector after: [b, n, d]."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        d = x.shape[-1]
        y = nn.LayerNorm(epsilon=1e-6, name="norm1")(x)
        y = SelfAttention(d // HEAD_WIDTH, name="attn")(y)
        x = x + y * self.param("ls1", nn.initializers.ones, (d,))
        y = nn.LayerNorm(epsilon=1e-6, name="norm2")(x)
        y = nn.gelu(nn.Dense(4 * d, name="fc1")(y), approximate=False)
        return x + nn.Dense(d, name="fc2")(y) * self.param("ls2", nn.initializers.ones, (d,))
