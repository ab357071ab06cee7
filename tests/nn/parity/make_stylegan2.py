"""Writes stylegan2.npz: what the authors' program computes with weights that the test can make as well.

    python tests/nn/parity/make_stylegan2.py FOLDER

FOLDER holds github.com/NVlabs/stylegan2-ada-pytorch; torch must be installed. Only inputs and outputs are written.
"""

import sys
import zlib
from pathlib import Path

import numpy as np

CASES = {"skip": ("skip", "resnet", 0), "residual": ("resnet", "skip", 3), "plain": ("orig", "orig", 3)}
"""The generator's and the discriminator's architecture, as the authors call it, and the number of classes."""

SIZES = {"channel_base": 64, "channel_max": 6, "conv_clamp": 256}


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weights called `name`: normal numbers that depend on the name alone."""
    return np.asarray(np.random.default_rng(zlib.crc32(name.encode())).normal(size=shape), np.float32)


def main(folder: str) -> None:
    sys.path.insert(0, folder)
    import torch
    from training.networks import Discriminator, Generator

    def filled(network):
        for name, parameter in network.named_parameters():
            scale = 100 if name.startswith("mapping.fc") and name.endswith("weight") else 1  # 1 / lr_multiplier
            parameter.data = torch.from_numpy(np.asarray(scale * numbers(name, tuple(parameter.shape))))
        return network.eval()

    out = {}
    for case, (generator, discriminator, classes) in CASES.items():
        layers = {"num_layers": 2}
        g = filled(Generator(5, classes, 8, 16, 3, layers, {"architecture": generator, **SIZES}))
        d = filled(
            Discriminator(
                classes, 16, 3, discriminator, **SIZES, mapping_kwargs=layers, epilogue_kwargs={"mbstd_group_size": 2}
            )
        )
        z = torch.from_numpy(numbers("z", (4, 5)))
        label = torch.eye(3)[torch.arange(4) % 3] if classes else torch.zeros(4, 0)
        with torch.no_grad():
            w = g.mapping(z, label)
            x = g.synthesis(w, noise_mode="none")
            out |= {f"{case}/w": w[:, 0].numpy(), f"{case}/x": x.permute(0, 2, 3, 1).numpy()}
            out[f"{case}/logit"] = d(x, label).numpy()
    np.savez_compressed(Path(__file__).with_name("stylegan2.npz"), **out)


if __name__ == "__main__":
    main(sys.argv[1])
