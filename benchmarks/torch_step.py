"""The train step of a config's network written with PyTorch, as a yardstick: seconds per step.

    pip install torch
    python benchmarks/torch_step.py [--configs=configs/quickstart.py,configs/diffusion/ddpm.py]
        [--steps=20] [--rounds=5]

For configs of families.Diffusion with nn.DiT or nn.UNet on images. The step is ours: noise, forward, mean squared
error, backward, clipping, Adam, the average of the parameters. The networks have the layers of gen_jax.nn, tensor for
tensor (their numbers of parameters are compared), and as many steps go into one call as in the config's training.
Blocks of ours and of PyTorch's steps take turns in one run; the result is the ratio of the median blocks, below 1 where
ours is faster. float32, eager PyTorch with all the cores.
"""

import copy
import math
import statistics
import time
from typing import Any

import jax
import numpy as np
import report
import torch
from absl import flags
from torch import nn
from torch.nn import functional
from train_step import BareStep, known_info, synthetic

from gen_jax import cli
from gen_jax.errors import UserError
from gen_jax.training.setup import set_up
from gen_jax.training.state import count_params


def run(specs: list[str], out: str, steps: int = 20, rounds: int = 5) -> dict[str, Any]:
    """Measures each config's step in both, prints a table, and writes the result to `out`."""
    result = report.header("torch_step") | {"torch": torch.__version__, "steps": steps, "rounds": rounds, "configs": []}
    for spec in specs:
        config = report.load_config(spec)
        setup = set_up(config.to_dict(), known_info(config))
        batch, per_call = synthetic(setup, known_info(config), config.train.batch_size), config.train.steps_per_call
        if per_call > 1:
            batch = {name: np.stack([values] * per_call) for name, values in batch.items()}
        ours = BareStep(config, setup, batch, per_call)
        theirs = TorchStep(config, setup.example["x"].shape[1:], known_info(config).num_classes)
        ours_count, theirs_count = count_params(setup.shapes.params), theirs.parameters
        if ours_count != theirs_count:
            raise UserError(f"{spec}: {ours_count} parameters in JAX and {theirs_count} in PyTorch")
        calls = -(-steps // per_call)
        ours.run(1)
        theirs.run(2)
        times = [(ours.run(calls) / (calls * per_call), theirs.run(steps) / steps) for _ in range(rounds)]
        jax_seconds, torch_seconds = (statistics.median(column) for column in zip(*times, strict=True))
        result["configs"].append(
            {
                "config": spec,
                "batch_size": config.train.batch_size,
                "steps_per_call": per_call,
                "parameters": ours_count,
                "jax_seconds": jax_seconds,
                "torch_seconds": torch_seconds,
                "ratio": statistics.median(a / b for a, b in times),
            }
        )
    columns = ("config", "batch_size", "parameters", "jax_seconds", "torch_seconds", "ratio")
    report.show(
        f"train step, beside PyTorch {torch.__version__}", columns, [[r[c] for c in columns] for r in result["configs"]]
    )
    report.write(out, result)
    print(f"written: {out}")
    return result


class TorchStep:
    """A step of flow matching or noise prediction, over and over on one batch."""

    def __init__(self, config: Any, shape: tuple[int, ...], classes: int):
        family = config.family
        if family.name != "families.Diffusion" or family.network.name not in NETWORKS:
            raise UserError(
                f"{family.name} of {family.network.name}: there is a PyTorch step for Diffusion of DiT, UNet"
            )
        conditional = family.conditioning.num_classes is None
        self.model = Model(family.network, family.conditioning, shape, classes if conditional else 0)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        self.x = torch.rand(config.train.batch_size, shape[-1], *shape[:-1]) * 2 - 1
        self.label = torch.randint(0, classes, (config.train.batch_size,)) if conditional else None
        self.clip = config.optim.model.clip

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def run(self, steps: int) -> float:
        """Seconds of so many steps."""
        start = time.perf_counter()
        for _ in range(steps):
            t = torch.rand(len(self.x))
            eps, s = torch.randn_like(self.x), t[:, None, None, None]
            out = self.model((1 - s) * self.x + s * eps, t, self.label)
            loss = functional.mse_loss(out, eps - self.x)
            self.optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.optimizer.step()
            with torch.no_grad():
                torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 0.02)
        loss.item()
        return time.perf_counter() - start


class Model(nn.Module):
    """nn.Conditioning and a network."""

    def __init__(self, network: Any, conditioning: Any, shape: tuple[int, ...], classes: int):
        super().__init__()
        width = conditioning.width
        self.features = conditioning.get("noise_features", None) or width
        self.noise = nn.Sequential(nn.Linear(self.features, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.network = NETWORKS[network.name](network, width, shape)

    def forward(self, x, t, label):
        half = self.features // 2
        angles = 1000 * t[:, None] * torch.exp(-math.log(10_000) * torch.arange(half) / half)
        vector = self.noise(torch.cat([angles.cos(), angles.sin()], dim=-1))
        if self.label is not None:
            vector = vector + self.label(label + 1)
        return self.network(x, vector)


class DiT(nn.Module):
    """nn.DiT."""

    def __init__(self, spec: Any, vector: int, shape: tuple[int, ...]):
        super().__init__()
        h, w, c = shape
        self.patch, d = spec.patch, spec.width
        self.embed = nn.Linear(self.patch**2 * c, d)
        self.position = torch.randn(1, (h // self.patch) * (w // self.patch), d)
        self.blocks = nn.ModuleList(DiTBlock(d, vector, spec.heads) for _ in range(spec.depth))
        self.modulation = nn.Linear(vector, 2 * d)
        self.out = nn.Linear(d, self.patch**2 * c)

    def forward(self, x, vector):
        p, (_, _, h, w) = self.patch, x.shape
        x = self.embed(functional.unfold(x, p, stride=p).transpose(1, 2)) + self.position
        vector = functional.silu(vector)
        for block in self.blocks:
            x = block(x, vector)
        shift, scale = self.modulation(vector)[:, None].chunk(2, dim=-1)
        x = self.out(modulate(x, shift, scale))
        return functional.fold(x.transpose(1, 2), (h, w), p, stride=p)


class DiTBlock(nn.Module):
    """nn.DiTBlock."""

    def __init__(self, d: int, vector: int, heads: int):
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(vector, 6 * d)
        self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(approximate="tanh"), nn.Linear(4 * d, d))

    def forward(self, x, vector):
        b, n, d = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(vector)[:, None].chunk(6, dim=-1)
        qkv = self.qkv(modulate(x, shift1, scale1)).reshape(b, n, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # [b, heads, n, d / heads] each
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d)
        x = x + gate1 * self.out(y)
        return x + gate2 * self.mlp(modulate(x, shift2, scale2))


class UNet(nn.Module):
    """nn.UNet with the options of DDPM."""

    def __init__(self, spec: Any, vector: int, shape: tuple[int, ...]):
        super().__init__()
        size, _, c = shape
        widths = [spec.width * m for m in spec.multipliers]
        self.first = nn.Conv2d(c, widths[0], 3, padding=1)
        down, skips, channels = [], [widths[0]], widths[0]
        for i, width in enumerate(widths):
            for _ in range(spec.blocks):
                down.append(ResBlock(channels, width, vector, spec.groups, size in spec.attention))
                channels = width
                skips.append(channels)
            if i < len(widths) - 1:
                down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
                size //= 2
        self.down = nn.ModuleList(down)
        self.middle = nn.ModuleList(
            [ResBlock(channels, channels, vector, spec.groups, True), ResBlock(channels, channels, vector, spec.groups)]
        )
        up = []
        for i, width in reversed(list(enumerate(widths))):
            for _ in range(spec.blocks + 1):
                up.append(ResBlock(channels + skips.pop(), width, vector, spec.groups, size in spec.attention))
                channels = width
            if i > 0:
                up.append(nn.Conv2d(channels, channels, 3, padding=1))
                size *= 2
        self.up = nn.ModuleList(up)
        self.norm, self.out = nn.GroupNorm(spec.groups, channels), nn.Conv2d(channels, c, 3, padding=1)

    def forward(self, x, vector):
        x = self.first(x)
        skips = [x]
        for layer in self.down:
            x = layer(x, vector) if isinstance(layer, ResBlock) else layer(x)
            skips.append(x)
        for layer in self.middle:
            x = layer(x, vector)
        for layer in self.up:
            if isinstance(layer, ResBlock):
                x = layer(torch.cat([x, skips.pop()], dim=1), vector)
            else:
                x = layer(functional.interpolate(x, scale_factor=2))
        return self.out(functional.silu(self.norm(x)))


class ResBlock(nn.Module):
    """nn.ResBlock, and the attention after it."""

    def __init__(self, channels: int, width: int, vector: int, groups: int, attention: bool = False):
        super().__init__()
        self.norm0, self.conv0 = nn.GroupNorm(groups, channels), nn.Conv2d(channels, width, 3, padding=1)
        self.vector = nn.Linear(vector, width)
        self.norm1, self.conv1 = nn.GroupNorm(groups, width), nn.Conv2d(width, width, 3, padding=1)
        self.skip = nn.Conv2d(channels, width, 1) if channels != width else nn.Identity()
        self.attention = Attention(width, groups) if attention else nn.Identity()

    def forward(self, x, vector):
        y = self.conv0(functional.silu(self.norm0(x))) + self.vector(functional.silu(vector))[:, :, None, None]
        y = self.conv1(functional.silu(self.norm1(y)))
        return self.attention(self.skip(x) + y)


class Attention(nn.Module):
    """nn.AttentionBlock with one head."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm, self.qkv, self.out = (
            nn.GroupNorm(groups, width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2))[:, None].chunk(3, dim=-1)
        y = self.out(functional.scaled_dot_product_attention(q, k, v)[:, 0])  # [b, h w, c]
        return x + y.transpose(1, 2).reshape(b, c, h, w)


def modulate(x, shift, scale):
    """Layer norm without parameters, then scale and shift."""
    return functional.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


NETWORKS = {"nn.DiT": DiT, "nn.UNet": UNet}


def main(argv: list[str]) -> None:
    """The command."""
    del argv
    given = flags.FLAGS
    jax.config.update("jax_enable_compilation_cache", False)
    run(given.configs, given.out, given.steps, given.rounds)


if __name__ == "__main__":
    default = ["configs/quickstart.py", "configs/diffusion/ddpm.py"]
    flags.DEFINE_list("configs", default, "FILE.py or FILE.py:variant, with commas.")
    flags.DEFINE_integer("steps", 20, "Steps in a block.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Blocks of each; the median counts.", lower_bound=1)
    flags.DEFINE_string("out", str(report.RESULTS / "torch_step.json"), "Where to write the result.")
    cli.run(main)
