"""What a metric is, and which there are.

A metric is a public function of this package whose first argument is one of INPUTS. Its arguments without `*` are
inputs, found by name; its keyword-only arguments are settings, which a spec may give. It returns figures by name.
"""

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gen_jax.evals
from gen_jax.build import names
from gen_jax.errors import UserError, unknown

INPUTS = {
    "x": "the samples, uint8 [n, h, w, c], or float32 for data that is",
    "label": "what was asked for, int [n], or None",
    "image": "what each sample was made from, uint8 [n, h, w, c]",
    "target": "what should have come of it, of the form of x",
    "features": "of the samples by the feature network, float32 [n, d]",
    "logits": "of the samples by the feature network, float32 [n, k]",
    "real_x": "the reference split's images",
    "real_label": "the reference split's labels",
    "real_features": "of the reference split, float32 [m, d]",
    "real_statistics": "mean and covariance of the reference split's features",
    "train_x": "the train split's images",
    "train_label": "the train split's labels",
    "train_features": "of the train split",
    "test_x": "the test split's images",
    "test_label": "the test split's labels",
    "test_features": "of the test split",
    "run": "the opened run, training.restore.Run",
}
PAIRED = ("image", "target")
"""Inputs that samples of models have which are conditional on an image, and whose data have the answer."""

FEATURED = ("features", "logits", "real_features", "real_statistics", "train_features", "test_features")
"""Inputs that come from a feature network: a metric that reads one of them has figures named after the network."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric with its settings.

    needs: the inputs that it cannot do without. takes: those it reads where they are to be had (None otherwise).
    version: changes when its figures do."""

    name: str
    function: Callable[..., dict[str, float]]
    settings: Mapping[str, Any]
    needs: tuple[str, ...]
    takes: tuple[str, ...]
    version: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs that it may read."""
        return self.needs + self.takes

    @property
    def featured(self) -> bool:
        """Whether its figures depend on a feature network."""
        return any(name in FEATURED for name in self.inputs)

    def __call__(self, **inputs: Any) -> dict[str, float]:
        """The figures by name, without the network's suffix."""
        return self.function(**inputs, **self.settings)


def metrics() -> dict[str, Callable[..., dict[str, float]]]:
    """Every metric by name."""
    found = {name: f for name, f in names(gen_jax.evals).items() if inspect.isfunction(f)}
    return {name: f for name, f in found.items() if next(iter(inspect.signature(f).parameters), "") in INPUTS}


def find_metric(spec: str | Mapping[str, Any]) -> Metric:
    """The metric that a spec names: "fid", or {"name": "evals.prdc", "k": 3}.

    Raises:
      UserError: no such metric or setting (with the nearest), a setting without a value, or a metric that needs what
        an evaluation does not have.
    """
    given = {"name": spec} if isinstance(spec, str) else dict(spec)
    if "name" not in given:
        raise UserError(f"the spec of a metric needs a 'name', this one has: {', '.join(given) or 'nothing'}")
    name = str(given.pop("name")).removeprefix("evals.")
    known = metrics()
    if name not in known and inspect.isfunction(helper := names(gen_jax.evals).get(name)):
        raise UserError(f"{name} is no metric of samples: call it from Python, {helper.__module__}.{name}")
    if name not in known:
        raise unknown("metric", name, known)
    parameters = inspect.signature(known[name]).parameters
    settings = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    for key in given:
        if key not in settings:
            raise unknown(f"setting of metric {name}", key, settings)
    settings |= given
    if missing := [key for key, value in settings.items() if value is inspect.Parameter.empty]:
        raise UserError(f"metric {name} needs a value for: {', '.join(missing)}")
    inputs = {key: p for key, p in parameters.items() if p.kind is not p.KEYWORD_ONLY}
    # What the samples were asked for may be nothing; of the other inputs, those with a default may be left out.
    needs = [key for key, p in inputs.items() if p.default is p.empty and key != "label"]
    if strange := [key for key in needs if key not in INPUTS]:
        raise UserError(f"metric {name} needs {', '.join(strange)}, which samples don't have: call it from Python")
    takes = [key for key in inputs if key in INPUTS and key not in needs]
    version = getattr(sys.modules[known[name].__module__], "VERSION", 1)
    return Metric(name, known[name], settings, tuple(needs), tuple(takes), version)


def find_metrics(evals: str | Sequence[str | Mapping[str, Any]]) -> list[Metric]:
    """The metrics of "fid,prdc", of '[{"name": "prdc", "k": 3}]' (JSON), or of a list of names and specs.

    Raises:
      UserError: as find_metric does; none, the same one twice, or what is not JSON.
    """
    specs: Any = evals
    if isinstance(evals, str) and evals.lstrip().startswith("["):
        try:
            specs = json.loads(evals)
        except json.JSONDecodeError as error:
            raise UserError(f"--evals={evals} is not JSON: {error}") from error
    elif isinstance(evals, str):
        specs = [name.strip() for name in evals.split(",") if name.strip()]
    if not specs:
        raise UserError(f"--evals={evals}: name at least one metric: {', '.join(sorted(metrics()))}")
    if wrong := [spec for spec in specs if not isinstance(spec, str | Mapping)]:
        raise UserError(f"--evals={evals}: {wrong[0]!r} is neither a metric's name nor a spec")
    found = [find_metric(spec) for spec in specs]
    asked = [metric.name for metric in found]
    if twice := [name for i, name in enumerate(asked) if name in asked[:i]]:
        raise UserError(f"metric {twice[0]} is asked for twice: its figures would have the same names")
    return found
