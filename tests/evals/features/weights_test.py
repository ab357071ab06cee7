import hashlib
import http.client
import shutil
import urllib.request
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.pretrained import weights
from gen_jax.nn.pretrained.weights import Published

HERE = Path(__file__).parent


def published(url, sha256=None):
    if sha256 is None:
        sha256 = weights.file_hash(HERE / "zip.pth")
    return Published("net.pth", url, sha256, 5, "fid_own")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    monkeypatch.setenv("GEN_JAX_WEIGHTS", str(path))
    return path


@pytest.fixture
def source(tmp_path):
    """A published file: its Published, with an address that needs no network."""
    shutil.copy(HERE / "zip.pth", tmp_path / "there.pth")
    return published((tmp_path / "there.pth").as_uri())


def test_downloaded_and_converted_once(folder, source, tmp_path):
    first = weights.load(source)
    assert sorted(p.name for p in folder.iterdir()) == ["net.pth", "net.safetensors"]
    (tmp_path / "there.pth").unlink()
    again = weights.load(source)
    assert (first.file.suffix, again.file.suffix) == (".pth", ".safetensors")
    (folder / "net.pth").unlink()  # the converted file is enough
    last = weights.load(source)
    assert first.hash == again.hash == last.hash
    assert set(first.tensors) == set(last.tensors)
    for name, tensor in first.tensors.items():
        assert (last.tensors[name].shape, last.tensors[name].dtype) == (tensor.shape, tensor.dtype)
        np.testing.assert_array_equal(last.tensors[name], tensor)


def test_the_hash_is_of_the_tensors_and_not_of_the_file(folder, source, tmp_path):
    named = shutil.copy(HERE / "stream.pth", tmp_path)
    assert weights.load(source, named).hash == weights.load(source).hash
    changed = dict(weights.load(source).tensors)
    for name, value in (("base", changed["base"] + 1), ("base", changed["base"].T), ("bass", changed["base"])):
        assert weights.digest({**changed, name: value}) != weights.digest(changed)


def test_a_named_file_may_be_any_and_its_conversion_follows_it(folder, source, tmp_path):
    named = tmp_path / "mine.pth"
    shutil.copy(HERE / "stream.pth", named)
    first = weights.load(source, named)
    other = {"base": np.zeros(3, np.float32)}
    weights.save(tmp_path / "other.safetensors", other, {})
    assert weights.load(source, tmp_path / "other.safetensors").hash == weights.digest(other) != first.hash
    named.write_bytes(b"something else")  # the conversion is of another file now
    with pytest.raises(UserError, match=r"mine\.pth is no file of torch\.save"):
        weights.load(source, named)


@pytest.mark.parametrize("where", ["downloaded", "in the folder", "named"])
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(folder, source, tmp_path, where):
    wrong = published(source.url, "0" * 64)
    named = None
    if where != "downloaded":
        named = (folder if where == "in the folder" else tmp_path) / "net.pth"
        named.parent.mkdir(exist_ok=True)
        shutil.copy(HERE / "zip.pth", named)
    line = r"sha256 [0-9a-f]{8}\.\.\., and .*00000000\.\.\..* put net\.pth \(5 MB\) in .*weights.* without it: fid_own"
    with pytest.raises(UserError, match=line):
        weights.load(wrong, named if where == "named" else None)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert where != "downloaded" or not list(folder.iterdir())


@pytest.mark.parametrize(
    "error", [OSError("Name or service not known"), TimeoutError("timed out"), http.client.IncompleteRead(b"ab", 5)]
)
def test_offline_names_the_file_the_place_and_what_works_without(folder, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    line = rf"https://x\.org/net\.pth cannot be downloaded .*; put net\.pth \(5 MB\) in {folder}, .*without it: fid_own"
    with pytest.raises(UserError, match=line) as raised:
        weights.load(published("https://x.org/net.pth"))
    assert "\n" not in str(raised.value)
    assert not list(folder.iterdir())


def test_no_file_of_the_name_is_one_clear_line(folder, source):
    with pytest.raises(UserError, match=r"there are no weights at none\.pth; put net\.pth"):
        weights.load(source, "none.pth")


def test_a_damaged_conversion_is_made_anew_or_named(folder, source):
    weights.load(source)
    converted = folder / "net.safetensors"
    whole = converted.read_bytes()
    converted.write_bytes(whole[: len(whole) // 2])
    assert weights.load(source).file.suffix == ".pth"  # made anew
    converted.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"net\.safetensors is not what was written to it; remove it"):
        weights.load(source)
    converted.write_bytes(b"nothing")
    (folder / "net.pth").unlink()
    with pytest.raises(UserError, match=r"net\.safetensors cannot be read as safetensors \(.*\); remove it"):
        weights.load(source)


def test_only_the_tensors_of_the_prefix_are_kept(folder, source):
    kept = weights.load(Published(source.name, source.url, source.sha256, 5, "fid_own", prefix="nested."))
    assert set(kept.tensors) == {"nested.flag", "nested.bytes"}
    assert weights.read(folder / "net.safetensors").hash == kept.hash


def test_a_folder_that_cannot_be_written_is_only_a_lost_cache(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    weights.save(tmp_path / "file" / "a.safetensors", {"a": np.zeros(1)}, {})
    assert "cannot be written" in caplog.text


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (2, 3), name="blocks_0")(x)
        x = nn.BatchNorm(use_running_average=True, name="bn")(x)
        return nn.Dense(5, name="fc")(x)


def test_torch_layouts_become_flax_ones():
    shapes = {"blocks.0.weight": (4, 3, 2, 3), "blocks.0.bias": (4,), "fc.weight": (5, 4), "fc.bias": (5,)}
    shapes |= {f"bn.{name}": (4,) for name in ("weight", "bias", "running_mean", "running_var")}
    shapes |= {"bn.num_batches_tracked": (), "unused.weight": (7,)}
    rng = np.random.default_rng(0)
    tensors = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    given = weights.Weights(tensors, "", Path("net.pth"))
    x = jax.ShapeDtypeStruct((1, 6, 6, 3), np.float32)
    tree = weights.variables(Net(), given, x)
    np.testing.assert_allclose(tree["params"]["blocks_0"]["kernel"][1, 2, 0, 3], tensors["blocks.0.weight"][3, 0, 1, 2])
    np.testing.assert_allclose(tree["params"]["fc"]["kernel"][1, 2], tensors["fc.weight"][2, 1])
    np.testing.assert_allclose(tree["params"]["bn"]["scale"], tensors["bn.weight"], rtol=1e-6)
    np.testing.assert_allclose(tree["batch_stats"]["bn"]["var"], tensors["bn.running_var"], rtol=1e-6)
    assert set(tree["params"]) == {"blocks_0", "bn", "fc"}
    for name, found in (("fc.bias", r"\[6\]"), ("fc.bias", None)):
        less = {**tensors, name: np.zeros(6)} if found else {k: v for k, v in tensors.items() if k != name}
        with pytest.raises(
            UserError, match=rf"net\.pth is not of this network: fc\.bias \[5\] is needed.*{found or 'none'}"
        ):
            weights.variables(Net(), weights.Weights(less, "", Path("net.pth")), x)


def test_the_published_sums_are_those_their_names_carry():
    from gen_jax.evals.features import dinov2, inception
    from gen_jax.nn.pretrained import lpips

    files = [inception.FILE] + [b.file for b in lpips.BACKBONES.values()]
    for file in files:
        assert file.sha256.startswith(Path(file.name).stem.split("-")[-1])
    for file in files + [dinov2.published(size, r) for size in dinov2.MEGABYTES for r in (False, True)]:
        assert len(bytes.fromhex(file.sha256)) == hashlib.sha256().digest_size
        assert file.url.endswith(file.name)
