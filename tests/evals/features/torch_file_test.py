import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gen_jax.errors import UserError
from gen_jax.nn.pretrained.torch_file import read_torch

HERE = Path(__file__).parent


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_what_torch_wrote_is_read(name):
    """The content is make_reference.py's."""
    tensors = read_torch(HERE / name)
    base = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = {
        "base": base,
        "transposed": base.T,
        "part": base[1:3, ::2],
        "parameter": np.float32([1.5, -2.5]),
        "half": np.float16([0.5, 65504]),
        "bfloat": np.float32([1.0, 3.140625]),
        "count": np.int64(7),
        "nested.flag": np.array([True, False]),
        "nested.bytes": np.uint8([0, 255]),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert set(tensors) == set(expected)
    for key, value in expected.items():
        assert (tensors[key].shape, tensors[key].dtype) == (value.shape, value.dtype), key
        np.testing.assert_array_equal(tensors[key], value)
        assert tensors[key].flags.c_contiguous


class Call:
    """Pickled as a call of any function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def write_zip(path, pickled, **storages):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/byteorder", "little")
        for key, data in storages.items():
            archive.writestr(f"a/data/{key[1:]}", data)


def write_stream(path, pickled):
    first = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    path.write_bytes(b"".join(pickle.dumps(p, 2) for p in first) + pickled + pickle.dumps([], 2))


@pytest.mark.parametrize("write", [write_zip, write_stream])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_that_asks_for_a_call_is_refused_and_does_nothing(tmp_path, write, protocol):
    path, seen = tmp_path / "bad.pth", tmp_path / "seen"
    write(path, pickle.dumps({"weight": Call(os.system, f"touch {seen}")}, protocol))
    with pytest.raises(
        UserError, match=r"bad.pth is refused: it asks for (posix|nt)\.system; .* only tensors in dicts"
    ):
        read_torch(path)
    assert not seen.exists()


@pytest.mark.parametrize("call", [Call(eval, "1"), Call(getattr, "a", "b"), Call(np.zeros, 3)])
def test_no_other_function_can_be_named(tmp_path, call):
    write_zip(tmp_path / "bad.pth", pickle.dumps([call]))
    with pytest.raises(UserError, match="is refused: it asks for"):
        read_torch(tmp_path / "bad.pth")


@pytest.mark.parametrize("content", [{"epoch": 3}, ["text"], 5])
def test_what_is_no_tensor_is_refused(tmp_path, content):
    write_zip(tmp_path / "bad.pth", pickle.dumps(content))
    with pytest.raises(UserError, match=r"is refused: it holds a (int|list)"):
        read_torch(tmp_path / "bad.pth")


class Rebuild:
    """A tensor as torch pickles it, with any numbers."""

    def __init__(self, count, offset, size, stride):
        self.numbers = count, offset, size, stride


class Pickler(pickle._Pickler):  # the one in Python, which looks the names up through save_global
    """Writes Rebuild as torch writes tensors, without torch."""

    def save(self, value, *args, **kwargs):
        if not isinstance(value, Rebuild):
            return super().save(value, *args, **kwargs)
        count, offset, size, stride = value.numbers
        self.write(b"ctorch._utils\n_rebuild_tensor_v2\n(")
        self.write(b"(")
        super().save("storage")
        self.write(b"ctorch\nFloatStorage\n")
        for part in ("0", "cpu", count):
            super().save(part)
        self.write(b"tQ")
        for part in (offset, size, stride, False, {}):
            super().save(part)
        return self.write(b"tR")


def write_tensor(path, *numbers):
    stream = io.BytesIO()
    Pickler(stream, 2).dump({"weight": Rebuild(*numbers)})
    write_zip(path, stream.getvalue(), _0=np.arange(4, dtype=np.float32).tobytes())


def test_a_tensor_is_a_view_of_its_storage(tmp_path):
    write_tensor(tmp_path / "good.pth", 4, 1, (3,), (1,))
    np.testing.assert_array_equal(read_torch(tmp_path / "good.pth")["weight"], [1, 2, 3])


@pytest.mark.parametrize(
    "numbers",
    [
        (4, 2, (3,), (1,)),
        (4, 0, (2, 2), (3, 1)),
        (4, -1, (2,), (1,)),
        (4, 3, (2,), (-1,)),
        (4, 0, (10**9,), (0,)),
        (5, 0, (4,), (1,)),
        (4, 0, (-1, -4), (1, 1)),
        (4, 0, (2,), (1, 1)),
    ],
)
def test_nothing_outside_a_storage_is_read(tmp_path, numbers):
    write_tensor(tmp_path / "bad.pth", *numbers)
    with pytest.raises(UserError, match=r"is no file of torch\.save, or is damaged: ValueError"):
        read_torch(tmp_path / "bad.pth")


@pytest.mark.parametrize("name", ["zip.pth", "stream.pth"])
def test_a_cut_off_file_is_one_clear_line(tmp_path, name):
    whole = (HERE / name).read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 3):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf"{name} (is no file of torch.save, or is damaged|is refused)") as error:
            read_torch(tmp_path / name)
        assert "\n" not in str(error.value)


def test_no_file_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match=r"none.pth cannot be read: No such file"):
        read_torch(tmp_path / "none.pth")
