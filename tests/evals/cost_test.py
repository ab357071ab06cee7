"""benchmarks/evaluate.py reports what it promises. No time is asserted: machines differ."""

import json
from pathlib import Path

import pytest

from gen_jax.errors import UserError


def test_evaluate(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import evaluate

    out = tmp_path / "out.json"
    result = evaluate.run(out, only=("statistics", "prdc"), count=300, prdc_count=200, width=16)
    assert json.loads(out.read_text()) == result
    assert result["statistics"]["seconds"] > 0
    assert result["prdc"]["peak_bytes"] >= result["prdc"]["bytes_before"] > 1e6
    assert 0.8 < result["prdc"]["coverage"] <= 1
    with pytest.raises(UserError, match="unknown part of this benchmark 'feature': did you mean 'features'"):
        evaluate.run(out, only=("feature",))
