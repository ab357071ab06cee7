"""The check of a data set: every fault at once, and the same verdict as training's."""

import subprocess
import sys

import numpy as np
import pytest
from image_folder_test import make_folder, write

from gen_jax.data.check import check
from gen_jax.data.image_folder import image_folder
from gen_jax.errors import UserError


@pytest.fixture
def bad(tmp_path, monkeypatch):
    """A folder with one fault of each kind; the keys are the files, the values what is to be said of them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "bad"
    for i in range(12):
        write(root / "train" / "cat" / f"{i:02}.png", seed=i)
    write(root / "train" / "dog" / "only.png", seed=30)
    cut = write(root / "train" / "cat" / "cut.jpg", seed=31)
    cut.write_bytes(cut.read_bytes()[:300])
    (root / "train" / "cat" / "text.png").write_text("hello")
    (root / "train" / "cat" / "notes.txt").write_text("hello")
    write(root / "train" / "cat" / "wide.png", width=9)
    write(root / "train" / "cat" / "alpha.png", seed=32, mode="RGBA")
    write(root / "train" / "loose.png", seed=33)
    (root / "train" / "hole").mkdir()
    (root / "train" / "cat" / "copy.png").write_bytes((root / "train" / "cat" / "00.png").read_bytes())
    write(root / "test" / "cat" / "a.png", seed=40)
    (root / "test" / "cat" / "leak.png").write_bytes((root / "train" / "cat" / "01.png").read_bytes())
    expected = {
        "train/cat/cut.jpg": "truncated",
        "train/cat/text.png": "not an image",
        "train/cat/notes.txt": "ignored",
        "train/cat/wide.png": "is 9x8, and most are 8x8",
        "train/cat/alpha.png": "mode RGBA",
        "train/loose.png": "beside the class folders",
        "train, class hole": "no images",
        "train, class dog": "one image only",
        "train/cat/copy.png": "the same as train/cat/00.png",
        "test/cat/leak.png": "the same as train/cat/01.png",
    }
    return root, expected


def test_every_fault_is_found_at_once(bad):
    root, expected = bad
    report = check(path=str(root))
    found = {fault.where: fault.what for fault in report.faults if not fault.where.startswith("test, class")}
    assert found.keys() == expected.keys()
    for where, what in expected.items():
        assert what in found[where]
        assert f"{where}: " in str(report)
    assert not report.ok


def train_on(root, arguments):
    try:
        return image_folder("train", path=str(root), **arguments), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize(
    "arguments", [{}, {"resolution": 8}, {"on_error": "skip"}, {"resolution": 8, "on_error": "skip"}]
)
@pytest.mark.parametrize("mend", [False, True])
def test_the_verdict_is_trainings(bad, arguments, mend):
    root, _ = bad
    if mend:
        write(root / "train" / "hole" / "a.png", seed=50)
    report = check(path=str(root), split="train", **arguments)
    source, refused = train_on(root, arguments)
    assert report.refused == refused
    if source is not None:
        assert report.examples == {"train": len(source)}
        assert report.counts["train"] == {"cat": 15, "dog": 1, "hole": 1}
        assert report.shapes == {"train": source.info.shape}
    assert report.ok == (mend and len(arguments) == 2)


def test_good_data_are_not_blamed(tmp_path):
    report = check(path=str(make_folder(tmp_path)))
    assert report.ok
    assert [f.where for f in report.faults if "one image" not in f.what] == ["README.txt", "test/dog/e.gif"]
    assert f"--config=configs/quickstart.py:folder --config.data.path={tmp_path}" in str(report)


def test_classes_out_of_balance(tmp_path):
    for i in range(22):
        write(tmp_path / ("many" if i < 20 else "few") / f"{i}.png", seed=i)
    assert [f.where for f in check(path=str(tmp_path)).faults] == ["train, class few"]
    for file in (tmp_path / "few").iterdir():
        file.rename(tmp_path / "many" / f"x{file.name}")
    (tmp_path / "few").rmdir()
    assert [f.what for f in check(path=str(tmp_path)).faults] == ["is the only class"]


def test_other_sources(tmp_path):
    report = check("digits")
    assert report.ok
    assert sum(report.counts["train"].values()) + sum(report.counts["test"].values()) == 1797
    assert report.faults == []
    path = str(tmp_path / "a.npz")
    np.savez(path, x=np.zeros((3, 4, 4), np.uint8))
    report = check("arrays", path=path)
    assert report.ok
    assert [f.where for f in report.faults] == ["train example 1", "train example 2", "test split"]
    with pytest.raises(UserError, match="unknown argument of image_folder 'sise'"):
        check(path=str(tmp_path), sise=3)


def test_the_command(bad):
    root, expected = bad
    command = [sys.executable, "-m", "gen_jax.data", f"--path={root}"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert all(where in result.stdout for where in expected)
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"gen_jax: {root}: ")
    write(root / "train" / "hole" / "a.png", seed=50)
    result = subprocess.run([*command, "--resolution=8", "--on_error=skip"], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")
    assert "--config.data.resolution=8 --config.data.on_error=skip" in result.stdout
