"""gen_jax.evaluate, and evaluation during training, on a small real run."""

import json
import logging

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

import gen_jax.evaluate
import gen_jax.main
import gen_jax.sample
from gen_jax.data.digits import digits
from gen_jax.errors import UserError
from gen_jax.evals.features import own
from gen_jax.evals.receipts import differences
from gen_jax.evals.record import read_evaluations
from gen_jax.training import writers
from gen_jax.training.checkpoint import Checkpoints

EVALS = dict(
    every=2,
    num=12,
    metrics=dict(fid=dict(name="evals.fid"), prdc=dict(name="evals.prdc", k=3), swd=dict(name="sliced_wasserstein")),
    best=dict(figure="sliced_wasserstein", mode="min"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with data, and the caches of the module: the classifier is trained once, for a few steps."""
    place = tmp_path_factory.mktemp("evaluate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(own, "STEPS", (10, 10))
        for name in ("GEN_JAX_WEIGHTS", "GEN_JAX_CACHE", "XDG_CACHE_HOME"):
            patch.setenv(name, str(place / name))
        patch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing is downloaded
        found = {}
        for split, count in (("train", 60), ("test", 30)):
            source = digits(split)
            fields = source.take(np.arange(count))
            found |= {f"{split}_x": fields["x"], f"{split}_y": fields["label"]}
        np.savez(place / "data.npz", **found)
        yield place


def make_config(place, steps=6, evals=None, **train):
    """A flow model that compiles in no time."""
    return ConfigDict(
        dict(
            seed=0,
            family=dict(
                name="families.Diffusion",
                network=dict(name="nn.MLP", features=(16,)),
                conditioning=dict(name="nn.Conditioning", width=16, num_classes=None),
                schedule=dict(name="diffusion.RectifiedFlow"),
                parameterization=dict(name="diffusion.flow"),
                sampler=dict(name="diffusion.Euler"),
                steps=2,
            ),
            data=dict(name="arrays", path=str(place / "data.npz")),
            optim=dict(model=dict(name="adam", learning_rate=1e-2)),
            ema=dict(model=dict(decay=0.5)),
            train=dict(steps=steps, batch_size=8, steps_per_call=4, log_every=4, checkpoint_every=4, keep=1,
                       sample_every=0, flip=False, max_skipped=10) | train,
            parallel=dict(data=1),
            sample=dict(num=4, batch_size=5, seed=0),
            evals=EVALS if evals is None else evals,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(place):
    """A run of six steps with evaluations at 2, 4 and 6."""
    state, metrics = gen_jax.main.run(make_config(place), place / "run")
    return state, metrics, place / "run"


def columns(workdir):
    """metrics.jsonl without what is of the clock."""
    clock = ("images_per_second", "evals/seconds")
    return [{k: v for k, v in row.items() if k not in clock} for row in writers.read_rows(workdir)]


def test_evaluations_during_training_are_in_the_metrics(trained, capsys):
    _, metrics, workdir = trained
    assert list(metrics["step"]) == [2, 4, 6]
    for name in ("fid_own", "precision_own", "sliced_wasserstein", "seconds"):
        assert np.isfinite(metrics[f"evals/{name}"]).all()
    receipts = json.loads((workdir / "receipts.json").read_text())
    assert set(receipts) | {"evals/seconds"} == {name for name in metrics if name.startswith("evals/")}
    assert receipts["evals/precision_own"]["settings"] == {"k": 3}
    assert receipts["evals/precision_own"]["samples"]["sampler"] == "Euler"


def test_the_best_checkpoint_is_kept_besides_the_last(trained):
    _, metrics, workdir = trained
    step = int(metrics["step"][np.argmin(metrics["evals/sliced_wasserstein"])])
    assert [p.name for p in (workdir / "checkpoints").iterdir()] == ["6"]
    assert [p.name for p in (workdir / "best").iterdir()] == [str(step)]
    with Checkpoints(workdir / "best", read_only=True) as checkpoints:
        assert checkpoints.describe()["best"]["value"] == metrics["evals/sliced_wasserstein"].min()
    samples = gen_jax.sample.run(workdir, num=3, checkpoint="best")
    assert samples["x"].shape == (3, 8, 8, 1)


def test_the_best_one_has_the_figure_that_it_was_kept_for(trained):
    _, metrics, workdir = trained
    found = gen_jax.evaluate.run(workdir, "sliced_wasserstein", 12, checkpoint="best")
    best = metrics["evals/sliced_wasserstein"].min()
    assert found["figures"]["sliced_wasserstein"]["value"] == best
    assert found["figures"]["sliced_wasserstein"]["receipt"]["checkpoint"] == int(
        metrics["step"][np.argmin(metrics["evals/sliced_wasserstein"])]
    )


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(place, trained):
    """To the last bit, with its figures and its best checkpoint; evaluation changes nothing in training."""
    state, _, whole = trained
    config = make_config(place, steps=4)
    gen_jax.main.run(config, place / "resumed")
    config.train.steps = 6
    (place / "resumed" / "config.json").write_text(config.to_json())
    resumed, _ = gen_jax.main.run(config, place / "resumed")
    plain, _ = gen_jax.main.run(make_config(place, evals={}), place / "plain")
    for other in (resumed, plain):
        for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    assert columns(place / "resumed") == columns(whole)
    assert [p.name for p in (place / "resumed" / "best").iterdir()] == [p.name for p in (whole / "best").iterdir()]


def test_a_kill_between_evaluation_and_checkpoint_changes_nothing(place, trained, monkeypatch):
    _, _, whole = trained

    class KilledError(BaseException):
        pass

    def kill(self, step, *args):
        if step == 4 and self.directory.name == "checkpoints":
            raise KilledError
        return save(self, step, *args)

    save = Checkpoints.save
    config = make_config(place, checkpoint_every=2)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", kill)
        with pytest.raises(KilledError):
            gen_jax.main.run(config, place / "killed")
    gen_jax.main.run(config, place / "killed")
    assert columns(place / "killed") == columns(whole)
    assert [p.name for p in (place / "killed" / "best").iterdir()] == [p.name for p in (whole / "best").iterdir()]


def test_an_evaluation_is_printed_with_its_cost(place, trained, capsys):
    config = make_config(place, steps=2)
    gen_jax.main.run(config, place / "printed")
    lines = capsys.readouterr().out.splitlines()
    assert any(
        "step 2/2  fid_own " in line and "evaluated in " in line and "(the best so far)" in line for line in lines
    )
    assert any(line.startswith("evals: fid, prdc, sliced_wasserstein of 12 samples every 2 steps") for line in lines)


BAD_EVALS = {
    "unknown field": (dict(evry=3), "field of config.evals 'evry': did you mean 'every'"),
    "missing field": (dict(metrics=None), "config.evals has no field: metrics"),
    "every": (dict(every=0), "evals.every=0"),
    "num": (dict(num=1), "evals.num=1"),
    "no metrics": (dict(metrics={}), "evals.metrics: specs by name"),
    "unknown metric": (dict(metrics=dict(a=dict(name="evals.fdi"))), "metric 'fdi': did you mean 'fid'"),
    "setting": (dict(metrics=dict(a=dict(name="evals.prdc", n=3))), "setting of metric prdc 'n'"),
    "twice": (dict(metrics=dict(a=dict(name="fid"), b=dict(name="evals.fid"))), "the same metric twice"),
    "figure": (dict(best=dict(figure="fid", mode="min")), "figure in config.evals.best 'fid': did you mean 'fid_own'"),
    "mode": (dict(best=dict(figure="fid_own", mode="least")), "mode in evals.best 'least'"),
    "best": (dict(best=dict(figure="fid_own")), "it takes figure and mode"),
    "features": (dict(features="incepton"), "feature network 'incepton': did you mean 'inception'"),
    "split": (dict(split="val"), "split .* 'val'"),
    "offline": (dict(features="inception"), "cannot be downloaded"),
    "resize": (dict(resize="clean"), "--resize=clean: the own classifier has none"),
}


@pytest.mark.parametrize("case", BAD_EVALS)
def test_bad_evals_are_one_line_before_anything_is_written(place, tmp_path, case):
    changes, says = BAD_EVALS[case]
    evals = {k: v for k, v in (EVALS | changes).items() if v is not None}
    with pytest.raises(UserError, match=says) as error:
        gen_jax.main.run(make_config(place, evals=evals), tmp_path / "run")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_figure_of_each_metric_can_keep_the_best(place):
    """Names are found by a trial, on images that are there and features that are not."""
    from gen_jax.evals.during import make_evaluator

    load = lambda split: digits(split)  # noqa: E731
    for metric, figure in (
        ("fid", "fid_own"),
        ("prdc", "coverage_own"),
        ("kid", "kid_own"),
        ("memorization", "authenticity"),
        ("label_agreement", "classes_read"),
        ("inception_score", "inception_score_own"),
        ("bits_per_dim", "bits_per_dim_ode"),
    ):
        spec = dict(every=1, metrics=dict(a=dict(name=metric)), best=dict(figure=figure, mode="max"))
        evaluator = make_evaluator(spec, "digits", load)
        assert evaluator.best.figure == figure
        if metric not in ("bits_per_dim",):  # what it gives is seen only with a model
            wrong = spec | dict(best=dict(figure="nothing", mode="max"))
            with pytest.raises(UserError, match=f"'nothing'.*{figure}"):
                make_evaluator(wrong, "digits", load)


def test_the_default_set_fits_the_data_and_leaves_out_with_a_reason(trained, capsys):
    _, _, workdir = trained
    found = gen_jax.evaluate.run(workdir, num=20)
    assert {"fid_own", "kid_own", "precision_own", "coverage_own", "agreement", "authenticity"} <= set(found["figures"])
    assert not found["left_out"]
    assert read_evaluations(workdir / "evals.json")[-1] == json.loads(json.dumps(found))
    receipt = found["figures"]["fid_own"]["receipt"]
    assert receipt["samples"] | {"end": 0} == receipt["samples"] | {
        "count": 20, "dtype": "uint8", "seed": 0, "sampler": "Euler", "steps": 2, "ema": True, "end": 0,
    }  # fmt: skip
    assert receipt["data"]["count"] == 60
    assert found["figures"]["authenticity"]["receipt"]["data"]["split"] == "train+test"
    lines = capsys.readouterr().out.splitlines()
    assert "which downloads 96 MB" in lines[0]
    assert f"fid_own: {found['figures']['fid_own']['value']:.5g}" in lines
    assert lines[-1] == f"written: {workdir}/evals.json"


def test_evaluations_are_added_and_compare_as_their_receipts_say(trained):
    _, _, workdir = trained
    before = len(read_evaluations(workdir / "evals.json"))

    def receipt(num=12, **changes):
        return gen_jax.evaluate.run(workdir, "prdc", num, **changes)["figures"]["precision_own"]["receipt"]

    one, other = receipt(), receipt(seed=1, steps=3, sampler="Heun")
    assert (other["samples"]["steps"], other["samples"]["sampler"]) == (3, "Heun")
    assert differences(one, other) == []
    assert any(found.startswith("data.hash is ") for found in differences(one, receipt(split="test")))
    assert differences(one, receipt(num=13)) == ["samples.count is 12 and 13"]
    assert len(read_evaluations(workdir / "evals.json")) == before + 4


def test_samples_are_the_ones_that_gen_jax_sample_draws(trained, tmp_path):
    """A run's figures equal those of its samples in a file, measured as another program's."""
    _, _, workdir = trained
    gen_jax.sample.run(workdir, num=14, seed=3, out=tmp_path / "x.npz")
    evals = ["fid", "prdc", "sliced_wasserstein", "label_agreement"]
    own_ = gen_jax.evaluate.run(workdir, evals, 14, seed=3)
    data = json.loads((workdir / "config.json").read_text())["data"]["path"]
    theirs = gen_jax.evaluate.run(
        evals=evals, samples=tmp_path / "x.npz", reference=data, out=tmp_path / "e.json", features="own"
    )
    assert list(own_["figures"]) == list(theirs["figures"])
    for name, figure in own_["figures"].items():
        assert figure["value"] == pytest.approx(theirs["figures"][name]["value"], rel=1e-6)
        assert differences(figure["receipt"], theirs["figures"][name]["receipt"]) == []
        assert theirs["figures"][name]["receipt"]["checkpoint"] is None
    assert read_evaluations(tmp_path / "e.json")[0]["figures"] == theirs["figures"]


def test_metrics_of_the_model_are_left_out_for_another_programs_samples(place, trained, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.load(place / "data.npz")["test_x"])
    with pytest.raises(UserError, match="metric bits_per_dim: it needs the model"):
        gen_jax.evaluate.run(evals="fid,bits_per_dim", samples=tmp_path / "x.npz", reference=place / "data.npz")


def test_a_failure_leaves_the_evaluations_as_they_were(trained, monkeypatch):
    _, _, workdir = trained
    before = (workdir / "evals.json").read_bytes() if (workdir / "evals.json").exists() else None
    with pytest.raises(UserError, match="prdc"):
        gen_jax.evaluate.run(workdir, ["sliced_wasserstein", {"name": "prdc", "k": 20}], 12)
    after = (workdir / "evals.json").read_bytes() if (workdir / "evals.json").exists() else None
    assert after == before


BAD = {
    "nothing": (dict(), "--workdir is needed"),
    "no reference": (dict(samples="{place}/data.npz"), "--reference is needed"),
    "no samples": (dict(reference="digits"), "--workdir is needed .*, or --samples"),
    "both": (dict(workdir="{place}/run", samples="x"), "--samples=x: a run .* has its own"),
    "out of a run": (dict(workdir="{place}/run", out="e.json"), "--out=e.json"),
    "steps of files": (dict(samples="x", reference="y", steps=3), "--steps is of runs"),
    "out": (dict(samples="x", reference="y", out="e.txt"), "--out=e.txt: give a FILE.json"),
    "no metric": (dict(workdir="{place}/run", evals="fdi"), "metric 'fdi': did you mean 'fid'"),
    "none": (dict(workdir="{place}/run", num=0), "--num=0"),
    "split": (dict(workdir="{place}/run", split="val"), "'val'"),
    "no run": (dict(workdir="{place}/nothing"), "does not exist"),
    "no best": (dict(workdir="{place}/plain", checkpoint="best"), "--checkpoint=best: there is none"),
    "checkpoint": (dict(workdir="{place}/run", checkpoint="last"), "--checkpoint=last: give a step, or best"),
    "network": (dict(workdir="{place}/run", features="vgg"), "feature network 'vgg'"),
    "offline": (dict(workdir="{place}/run", features="inception"), "cannot be downloaded.*fid_own"),
    "no weights": (dict(workdir="{place}/run", weights="{place}/w.pth"), "there are no weights at .*w.pth"),
    "own resize": (dict(workdir="{place}/run", features="own", resize="clean"), "--resize=clean"),
    "no features": (dict(workdir="{place}/run", evals="memorization", features="own"), "none of memorization reads"),
    "statistics": (dict(samples="{place}/x.npz", reference="{place}/s.npz"), "Inception's weights.*at hand: put"),
    "own of statistics": (dict(samples="{place}/x.npz", reference="{place}/s.npz", features="own"), "statistics only"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(place, trained, case):
    np.savez(place / "s.npz", mu=np.zeros(2), sigma=np.eye(2))
    np.savez(place / "x.npz", x=np.load(place / "data.npz")["test_x"])
    (place / "plain").mkdir(exist_ok=True)
    if not (place / "plain" / "config.json").exists():
        (place / "plain" / "config.json").write_text(make_config(place).to_json())
    arguments, says = BAD[case]
    arguments = {k: v.format(place=place) if isinstance(v, str) else v for k, v in arguments.items()}
    before = (place / "run" / "evals.json").read_bytes() if (place / "run" / "evals.json").exists() else None
    with pytest.raises(UserError, match=says) as error:
        gen_jax.evaluate.run(**arguments)
    assert "\n" not in str(error.value)
    after = (place / "run" / "evals.json").read_bytes() if (place / "run" / "evals.json").exists() else None
    assert after == before


def test_a_damaged_cache_of_the_reference_is_made_anew(place, trained, caplog):
    _, _, workdir = trained
    first = gen_jax.evaluate.run(workdir, "prdc", 12)["figures"]["precision_own"]["value"]
    for file in (place / "GEN_JAX_CACHE" / "features").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    with caplog.at_level(logging.WARNING, "gen_jax"):
        assert gen_jax.evaluate.run(workdir, "prdc", 12)["figures"]["precision_own"]["value"] == first
    assert "is damaged" in caplog.text
