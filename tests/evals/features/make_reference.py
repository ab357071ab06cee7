"""Writes the .npz and .pth files beside it: what the published PyTorch code gives with random weights.

    pip install torch torchvision pytorch-fid torch-fidelity lpips
    git clone https://github.com/facebookresearch/dinov2
    python tests/evals/features/make_reference.py --dinov2=dinov2

Those here were written with torch 2.13.0 (CPU), torchvision 0.28.0, pytorch-fid 0.3.0, torch-fidelity 0.4.0, lpips
0.1.4 and dinov2 at b8931f7. The weights are random_weights.py's, by the names and shapes of the published networks,
which each file has as JSON, so that neither weights nor PyTorch are needed to compare with them.
"""

import argparse
import collections
import functools
import json
import sys
import tempfile
from pathlib import Path

import lpips
import numpy as np
import pytorch_fid.inception
import random_weights
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

HERE = Path(__file__).parent


def shapes_of(module):
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def fill(module):
    """Random weights by name, into the module."""
    drawn = {name: torch.from_numpy(t) for name, t in random_weights.state(shapes_of(module)).items()}
    module.load_state_dict(drawn)
    return module.eval()


def nchw(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def save(name, **arrays):
    versions = {"torch": torch.__version__}
    path = HERE / f"{name}.npz"
    np.savez_compressed(path, **arrays, **versions)
    print(
        path.name, path.stat().st_size, {k: float(np.abs(v).mean()) for k, v in arrays.items() if v.dtype.kind == "f"}
    )


def inception():
    pytorch_fid.inception.load_state_dict_from_url = lambda *_, **__: state
    bare = pytorch_fid.inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    shapes = shapes_of(bare)
    state = {name: torch.from_numpy(t) for name, t in random_weights.state(shapes).items()}
    images = nchw(random_weights.images("inception", (2, 40, 52, 3)))
    network = pytorch_fid.inception.InceptionV3([3]).eval()
    with tempfile.NamedTemporaryFile(suffix=".pth") as file:
        torch.save(state, file.name)
        wanted = ["2048", "logits_unbiased"]
        original = FeatureExtractorInceptionV3("inception", wanted, feature_extractor_weights_path=file.name).eval()
    with torch.no_grad():
        features, logits = original(images)
        pytorch_features = network(images.float() / 255)[0][:, :, 0, 0]
    save(
        "inception",
        shapes=np.array(json.dumps(shapes)),
        tf_legacy=features.numpy(),
        tf_legacy_logits=logits.numpy(),
        pytorch_fid=pytorch_features.numpy(),
    )


def dinov2(folder):
    sys.path.insert(0, folder)
    from dinov2.layers import MemEffAttention, NestedTensorBlock
    from dinov2.models.vision_transformer import DinoVisionTransformer

    block = functools.partial(NestedTensorBlock, attn_class=MemEffAttention)
    same = dict(img_size=518, patch_size=14, embed_dim=128, depth=3, num_heads=2, init_values=1.0, block_chunks=0)
    x = random_weights.images("dinov2", (2, 224, 224, 3)) / np.float32(255)
    x = nchw((x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225]))
    found = {}
    for name, more in (
        ("plain", dict(interpolate_antialias=False, interpolate_offset=0.1)),
        ("registers", dict(num_register_tokens=4, interpolate_antialias=True, interpolate_offset=0.0)),
    ):
        network = fill(DinoVisionTransformer(block_fn=block, **same, **more))
        with torch.no_grad():
            found[name] = network(x).numpy()
        found[f"{name}_shapes"] = np.array(json.dumps(shapes_of(network)))
    save("dinov2", **found)


def perceptual():
    a, b = (random_weights.images(f"lpips {name}", (2, 64, 48, 3)) for name in "ab")
    a, b = (nchw(x / np.float32(127.5) - 1) for x in (a, b))
    found = {}
    for net in ("alex", "vgg"):
        network = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False).eval()
        published = {}  # our name, which is the published files', by the module's
        for name in network.state_dict():
            if name.startswith("net.slice"):
                published[name] = f"features.{name.split('.', 2)[2]}"
            elif name.startswith("lin"):
                published[name] = name.replace("lins.", "lin")
        own = network.state_dict()
        shapes = {new: list(own[old].shape) for old, new in published.items()}
        drawn = random_weights.state(shapes)
        network.load_state_dict(own | {old: torch.from_numpy(drawn[new]) for old, new in published.items()})
        with torch.no_grad():
            found[net] = network(a, b)[:, 0, 0, 0].numpy()
        found[f"{net}_shapes"] = np.array(json.dumps(shapes))
    save("lpips", **found)


def resize():
    found = {}
    for h, w, size in ((7, 5, 9), (40, 52, 13)):
        x = nchw(random_weights.images("resize", (1, h, w, 3))).float()
        torchs = torch.nn.functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)
        tensorflows = interpolate_bilinear_2d_like_tensorflow1x(x, (size, size), align_corners=False)
        for name, y in (("pytorch-fid", torchs), ("tf-legacy", tensorflows)):
            found[f"{name} {h} {w} {size}"] = y.numpy().transpose(0, 2, 3, 1)
    save("resize", **found)


def files():
    """A few tensors in both of PyTorch's file formats: views, shared storages, a parameter and several types."""
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    content = collections.OrderedDict(
        base=base,
        transposed=base.t(),
        part=base[1:3, ::2],
        parameter=torch.nn.Parameter(torch.tensor([1.5, -2.5])),
        half=torch.tensor([0.5, 65504.0], dtype=torch.float16),
        bfloat=torch.tensor([1.0, 3.140625], dtype=torch.bfloat16),
        count=torch.tensor(7),
        nested={"flag": torch.tensor([True, False]), "bytes": torch.tensor([0, 255], dtype=torch.uint8)},
        empty=torch.zeros(0, 3),
    )
    torch.save(content, HERE / "zip.pth")
    torch.save(content, HERE / "stream.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dinov2", required=True, help="a clone of facebookresearch/dinov2")
    given = parser.parse_args()
    torch.manual_seed(0)
    files()
    resize()
    inception()
    perceptual()
    dinov2(given.dinov2)
