"""The gallery trains what is missing, keeps what is done, and writes its tables into a page and the README."""

import json
import textwrap
from pathlib import Path

import pytest

import gen_jax.evaluate
import gen_jax.main
from gen_jax.errors import UserError

CONFIG = """
    from ml_collections import ConfigDict

    def get_config(variant="digits"):
        return ConfigDict(dict(
            seed=0,
            family=dict(
                name="families.VAE",
                encoder=dict(name="nn.MLP", features=(8,), outputs=WIDTH),
                decoder=dict(name="nn.MLP", features=(8,), channels_per_value=2),
                conditioning=dict(name="nn.Conditioning", width=8),
                likelihood=dict(name="losses.DiscretizedLogistic"),
                latent=4,
            ),
            data=dict(name="digits"),
            optim=dict(model=dict(name="adam", learning_rate=1e-3)),
            ema=dict(),
            train=dict(steps=1, batch_size=8, steps_per_call=1, log_every=1, checkpoint_every=1, keep=1,
                       sample_every=0, flip=False, max_skipped=10),
            parallel=dict(data=1),
            sample=dict(num=4, batch_size=4, seed=0),
            evals=dict(),
        ))
"""


@pytest.fixture
def gallery(tmp_path, monkeypatch):
    """The module, in a folder with two configs, one of which cannot be built; trained in this process."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    monkeypatch.chdir(tmp_path)
    import gallery

    trained = []

    def train(spec, config, workdir, first):
        assert first is None
        if config.family.encoder.outputs == 7:
            raise UserError("training ended with status 2")
        trained.append(spec)
        gen_jax.main.run(config, workdir)
        return 12.5

    def evaluate(workdir, num):
        receipt = {"metric": "fid", "version": 1, "samples": {"count": num, "dtype": "uint8"}, "checkpoint": 1}
        figures = {"fid_own": {"value": 2.5, "receipt": receipt}, "kid_own/std": {"value": 1.0, "receipt": receipt}}
        (workdir / "evals.json").write_text(json.dumps({"evaluations": [{"figures": figures, "cost": {}}]}))

    monkeypatch.setattr(gallery.quickstart, "train_run", train)
    monkeypatch.setattr(gen_jax.evaluate, "run", evaluate)
    monkeypatch.setattr(gallery, "CHOICE", ("vae/good",))
    gallery.trained = trained
    for name, width in (("vae/good", 8), ("other", 8), ("bad", 7)):
        path = tmp_path / "configs" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(CONFIG).replace("WIDTH", str(width)))
    (tmp_path / "README.md").write_text("before\n<!-- gallery -->\nold\n<!-- /gallery -->\nafter\n")
    return gallery


GOOD = "configs/vae/good.py"


def test_a_row_a_picture_and_the_readme(gallery, tmp_path):
    result = gallery.run([GOOD], num=20, out="out.json")
    row = result["configs"]["vae/good"]
    assert json.loads(Path("out.json").read_text()) == result
    assert (row["seconds"]["train"], row["steps"]) == (12.5, 1)
    assert row["evaluation"]["figures"]["fid_own"]["value"] == 2.5
    assert Path("docs/gallery/vae-good.png").stat().st_size > 100
    text = Path("README.md").read_text()
    assert text.startswith("before\n<!-- gallery -->\n")
    assert text.endswith("<!-- /gallery -->\nafter\n")
    assert "old" not in text
    assert "[vae/good](configs/vae/good.py)" in text
    assert "2.50" in text
    assert "12.5" in text
    assert f"{row['hardware']['cores']} cores of" in text


def test_what_is_done_is_not_done_again_and_what_changed_is(gallery):
    gallery.run([GOOD], num=20, out="out.json")
    gallery.run([GOOD], num=20, out="out.json")
    assert gallery.trained == [GOOD]
    Path("docs/gallery/vae-good.png").unlink()
    gallery.run([GOOD], num=20, out="out.json")
    assert len(gallery.trained) == 2
    gallery.run([GOOD], num=30, out="out.json")
    assert len(gallery.trained) == 3


def test_a_config_that_fails_is_named_and_the_others_are_run(gallery):
    with pytest.raises(UserError, match="1 of 2 configs failed: bad"):
        gallery.run(["configs/bad.py", GOOD], num=20, out="out.json")
    assert "vae/good" in Path("README.md").read_text()
    assert gallery.all_configs() == ["configs/bad.py", "configs/other.py", GOOD]


def test_the_page_has_all_and_the_readme_a_choice(gallery):
    gallery.run([GOOD, "configs/other.py"], num=20, out="out.json")
    page, readme = (Path(path).read_text() for path in ("docs/gallery.md", "README.md"))
    assert "[other](../configs/other.py)" in page
    assert '<img src="gallery/vae-good.png"' in page
    assert '<img src="docs/gallery/vae-good.png"' in readme
    assert "other" not in readme


def test_a_readme_without_a_place_is_refused_before_training(gallery):
    Path("README.md").write_text("no place")
    with pytest.raises(UserError, match=r"README\.md has no place"):
        gallery.run([GOOD], out="out.json")
    assert not gallery.trained
