"""evals.json is always whole, and evaluations are only ever added."""

import concurrent.futures
import json
from pathlib import Path

import pytest

from gen_jax.errors import UserError
from gen_jax.evals.record import add_evaluation, check_target, read_evaluations

ONE = {"figures": {"fid": {"value": 1.5, "receipt": {}}}, "cost": {}}


def test_evaluations_are_added_newest_last(tmp_path):
    path = tmp_path / "new" / "evals.json"
    assert read_evaluations(path) == []
    for i in range(3):
        add_evaluation(path, ONE | {"cost": {"sample_seconds": i}})
    assert [e["cost"]["sample_seconds"] for e in read_evaluations(path)] == [0, 1, 2]
    assert [p.name for p in path.parent.iterdir()] == ["evals.json"]


def test_several_at_a_time_lose_nothing(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add_evaluation(tmp_path / "evals.json", ONE | {"cost": {"i": i}}), range(24)))
    assert {e["cost"]["i"] for e in read_evaluations(tmp_path / "evals.json")} == set(range(24))


def test_what_fails_half_way_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "evals.json"
    add_evaluation(path, ONE)

    def fail(self, text):
        self.open("w").write(text[: len(text) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space"):
        add_evaluation(path, ONE)
    assert read_evaluations(path) == [ONE]
    assert [p.name for p in tmp_path.iterdir()] == ["evals.json"]


@pytest.mark.parametrize("text", ['{"evaluations": [{"fig', "[]", '{"evaluations": [{"figures": 3}]}', ""])
def test_a_file_of_something_else_is_not_overwritten(tmp_path, text):
    path = tmp_path / "evals.json"
    path.write_text(text)
    with pytest.raises(UserError, match="move it away"):
        check_target(path)
    assert path.read_text() == text


def test_where_nothing_can_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(UserError, match="cannot be written"):
        check_target(tmp_path / "file" / "evals.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(UserError, match=r"cannot be written|move it away"):
        check_target(tmp_path / "folder.json")
