"""Folders of images and archives of them: what is read, and that all that is wrong is said at once."""

import io
import logging
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gen_jax.data import scan
from gen_jax.data.image_folder import image_folder
from gen_jax.data.images import decode
from gen_jax.data.load import batches
from gen_jax.errors import UserError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keeps the user's own cache out of the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gen_jax"


def pixels(seed, height=8, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, seed=0, height=8, width=8, mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed, height, width)).convert(mode).save(path, **options)
    return path


def make_folder(root: Path) -> Path:
    """Two splits of classes cat and dog, with files that are to be ignored."""
    for i, name in enumerate(
        ["train/cat/a.png", "train/cat/deep/b.bmp", "train/dog/c.PNG", "test/cat/d.png", "test/dog/e.gif"]
    ):
        write(root / name, seed=i)
    for junk in (
        "train/.DS_Store",
        "train/cat/.hidden.png",
        "train/cat/Thumbs.db",
        "__MACOSX/train/cat/._a.png",
        "README.txt",
    ):
        (root / junk).parent.mkdir(parents=True, exist_ok=True)
        (root / junk).write_text("not an image")
    return root


def archive(folder: Path, path: Path, top: str = "") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as out:
            for file in sorted(folder.rglob("*")):
                out.write(file, Path(top) / file.relative_to(folder))
    else:
        compression = {".tar": "", ".gz": "gz", ".xz": "xz", ".bz2": "bz2"}[path.suffix]
        with tarfile.open(path, f"w:{compression}") as out:
            out.add(folder, arcname=top or ".")
    return path


def contents(source):
    return [
        (e["x"].tobytes(), int(e["label"]) if "label" in e else None) for e in (source[i] for i in range(len(source)))
    ]


@pytest.mark.parametrize("cache_mb", [1024, 0])
@pytest.mark.parametrize("top", ["", "photos"])
@pytest.mark.parametrize("name", ["a.tar", "a.zip", "a.tar.gz", "a.tar.xz", "a.tar.bz2"])
def test_an_archive_reads_as_its_folder_does(tmp_path, name, top, cache_mb):
    folder = make_folder(tmp_path / "data")
    path = archive(folder, tmp_path / name, top)
    for split, count in (("train", 3), ("test", 2)):
        expected = image_folder(split, path=str(folder))
        found = image_folder(split, path=str(path), cache_mb=cache_mb)
        assert len(found) == count
        assert contents(found) == contents(expected)
        assert found.info == expected.info
        assert found.info.class_names == ("cat", "dog")
        assert hasattr(found, "take") == (cache_mb > 0)


def test_pixels_and_labels_are_those_of_the_files(tmp_path):
    source = image_folder(path=str(make_folder(tmp_path)))
    assert [source[i]["label"] for i in range(3)] == [0, 0, 1]
    for i in range(3):
        np.testing.assert_array_equal(source[i]["x"], pixels(i))


def test_a_flat_folder_has_no_labels(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", seed=i)
    source = image_folder(path=str(tmp_path))
    assert (len(source), source.info.num_classes, set(source[0])) == (3, 0, {"x"})
    with pytest.raises(UserError, match="has no test split"):
        image_folder("test", path=str(tmp_path))


def test_a_single_class_is_not_taken_for_a_wrapping_folder(tmp_path):
    write(tmp_path / "cat" / "a.png")
    assert image_folder(path=str(tmp_path)).info.class_names == ("cat",)


def test_images_are_read_by_many_threads_at_once(tmp_path):
    folder = tmp_path / "data"
    for i in range(40):
        write(folder / f"{i % 2}" / f"{i:02}.png", seed=i)
    for path in (folder, archive(folder, tmp_path / "a.tar"), archive(folder, tmp_path / "a.zip")):
        kept, decoded = (image_folder(path=str(path), cache_mb=mb) for mb in (100, 0))
        for _, a, b in zip(range(5), *(batches(s, 32, keys=["label"], seed=0) for s in (kept, decoded)), strict=False):
            np.testing.assert_array_equal(a["x"], b["x"])
            np.testing.assert_array_equal(a["label"], b["label"])


def break_folder(root: Path) -> Path:
    for i in range(12):
        write(root / "cat" / f"{i:02}.png", seed=i)
    whole = write(root / "dog" / "fine.png", seed=20).read_bytes()
    (root / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (root / "dog" / "text.jpg").write_text("hello")
    (root / "dog" / "nothing.png").write_bytes(b"")
    return root


def test_all_broken_files_are_named_at_once(tmp_path):
    with pytest.raises(UserError) as caught:
        image_folder(path=str(break_folder(tmp_path)))
    for name in ("dog/cut.png", "dog/text.jpg", "dog/nothing.png", "3 broken images"):
        assert name in str(caught.value)
    assert "fine" not in str(caught.value)


@pytest.mark.parametrize("cache_mb", [1024, 0])
def test_broken_files_are_skipped_and_counted_when_asked(tmp_path, caplog, cache_mb):
    with caplog.at_level(logging.WARNING, "gen_jax"):
        source = image_folder(path=str(break_folder(tmp_path)), on_error="skip", cache_mb=cache_mb)
    assert len(source) == 13
    np.testing.assert_array_equal(source[12]["x"], pixels(20))
    assert source[12]["label"] == 1
    assert "skipped 3 of 16 images" in caplog.text


def test_many_faults_are_counted(tmp_path):
    for i in range(25):
        (write(tmp_path / f"{i:02}.png")).write_text("hello")
    with pytest.raises(UserError, match=r"25 broken images: 00\.png .*09\.png .* and 15 more"):
        image_folder(path=str(tmp_path))


def test_several_sizes_need_a_resolution(tmp_path):
    for i in range(5):
        write(tmp_path / f"a{i}.png", seed=i)
    write(tmp_path / "wide.png", width=12)
    write(tmp_path / "tall.png", height=20)
    with pytest.raises(
        UserError, match=r"3 sizes.*8x8: a0\.png, a1\.png and 3 more.*--config.data.resolution=64"
    ) as caught:
        image_folder(path=str(tmp_path))
    assert "12x8: wide.png" in str(caught.value)
    assert "8x20: tall.png" in str(caught.value)
    assert image_folder(path=str(tmp_path), resolution=4).info.shape == (4, 4, 3)


def test_channels(tmp_path):
    for i in range(2):
        write(tmp_path / f"{i}.png", seed=i, mode="L")
    assert image_folder(path=str(tmp_path)).info.shape == (8, 8, 1)
    write(tmp_path / "colour.png", seed=5)
    for cache_mb in (0, 100):
        mixed = image_folder(path=str(tmp_path), cache_mb=cache_mb)
        assert mixed.info.shape == mixed[0]["x"].shape == (8, 8, 3)
        assert np.ptp(mixed[0]["x"], axis=-1).max() == 0
        assert image_folder(path=str(tmp_path), channels=1, cache_mb=cache_mb)[2]["x"].shape == (8, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": "nowhere"}, "no such file or folder"),
        ({"path": "empty"}, "empty; expected .jpg"),
        ({"path": "texts"}, "1 files, none of them an image"),
        ({"path": "texts/a.txt"}, "neither a folder nor a .tar"),
        ({"path": "good", "channels": 2}, "channels=2"),
        ({"path": "good", "resolution": 0}, "resolution=0"),
        ({"path": "good", "on_error": "ignore"}, "unknown on_error"),
        ({"path": "hole"}, "class folders without images: dog"),
        ({"path": "stray"}, "1 images beside the class folders: a.png"),
        ({"path": "cut.tar.gz"}, "archive is damaged"),
    ],
)
def test_mistakes_are_named(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("hello")
    for folder in ("good", "hole", "stray"):
        write(tmp_path / folder / "cat" / "a.png")
    (tmp_path / "hole" / "dog").mkdir()
    write(tmp_path / "stray" / "a.png")
    whole = archive(tmp_path / "good", tmp_path / "cut.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=message) as caught:
        image_folder(**(arguments | {"path": str(tmp_path / arguments["path"])}))
    assert "\n" not in str(caught.value)


def test_the_scan_of_data_beyond_the_budget_is_kept_until_a_file_changes(tmp_path, cache, monkeypatch):
    folder = break_folder(tmp_path / "data")
    decoded = []
    monkeypatch.setattr(scan, "decode", lambda data, *rest: decoded.append(1) or decode(data, *rest))

    def load():
        decoded.clear()
        return contents(image_folder(path=str(folder), on_error="skip", cache_mb=0)), len(decoded)

    first, count = load()
    assert count == 16
    assert load() == (first, 0)
    os.utime(folder / "cat" / "00.png", ns=(1, 1))
    assert load() == (first, 16)
    for file in cache.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert load() == (first, 16), "a damaged cache must not matter"


def test_data_within_the_budget_leave_no_cache(tmp_path, cache):
    image_folder(path=str(make_folder(tmp_path / "data")))
    assert not cache.exists()


def encoded(image: Image.Image, kind="PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def test_transparency_lies_on_white():
    image = Image.new("RGBA", (2, 1))
    image.putpixel((0, 0), (10, 20, 30, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    np.testing.assert_array_equal(decode(encoded(image))[0], [[[10, 20, 30], [255, 255, 255]]])


def test_palettes_and_first_frames_become_rgb():
    frames = [Image.new("RGB", (4, 4), colour).quantize() for colour in ("red", "blue")]
    x, mode, _ = decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert mode == "P"
    np.testing.assert_array_equal(x, np.full((4, 4, 3), (255, 0, 0), np.uint8))


def test_sixteen_bits_are_scaled_to_eight():
    values = np.array([[0, 257, 200 * 257, 65535]], np.uint16)
    x, *_ = decode(encoded(Image.fromarray(values)))
    np.testing.assert_array_equal(x[..., 0], [[0, 1, 200, 255]])


def test_exif_orientation_is_applied():
    image = Image.new("RGB", (8, 16), "white")
    image.paste("black", (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to view
    x, _, size = decode(encoded(image, "JPEG", exif=exif))
    assert size == (8, 16) == x.shape[:2]
    assert x[:, :7].min() > 200
    assert x[:, 9:].max() < 50


def test_the_central_square_is_resized_without_aliasing():
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[:, ::2] = 255
    stripes[:, :16] = stripes[:, 80:] = (255, 0, 0)  # outside the central square
    x, *_ = decode(encoded(Image.fromarray(stripes)), resolution=8)
    assert x.shape == (8, 8, 3)
    assert np.all(np.abs(x.astype(int) - 127.5) < 12), "stripes finer than a pixel average to grey"
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels(1))), resolution=8)[0], pixels(1))
