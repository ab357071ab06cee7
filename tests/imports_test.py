"""Who may import whom (types <- nn, losses, diffusion, data <- families <- tasks, evals <- loop <- commands)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gen_jax"
BOTTOM = {"types", "errors", "random", "build"}
# What each part may import of gen_jax, besides itself and BOTTOM. diffusion reads `null` of nn.conditioning, losses.ada
# the filters of nn.resample.
ALLOWED = {
    "types": set(),
    "errors": set(),
    "random": set(),
    "build": {"errors"},
    "cli": {"errors"},
    "nn": set(),
    "losses": {"nn"},
    "diffusion": {"nn"},
    "data": {"cli"},
    "families": {"nn", "losses", "diffusion"},
    "tasks": {"nn", "losses", "diffusion", "data", "families"},
    "evals": {"nn", "losses", "diffusion", "data", "families"},
    "training": set(),
    "training.loop": {"data", "families", "tasks", "evals", "training"},
    "main": {"cli", "training"},
    "sample": {"cli", "training", "tasks", "diffusion"},
    "evaluate": {"cli", "training", "tasks", "evals", "data", "sample"},
    "report": {"nn", "tasks", "evals", "training"},
    "compare": {"cli", "training", "evals", "data", "report", "evaluate"},
}
FORBIDDEN_IN_FAMILIES = {"optax", "orbax", "ml_collections", "grain"}
FILES = sorted(ROOT.rglob("*.py"))


def imports(file: Path) -> set[str]:
    """The dotted names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(file: Path) -> str:
    """The part of gen_jax that a file belongs to."""
    dotted = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return dotted if dotted in ALLOWED else dotted.split(".")[0]


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_no_arrow_runs_back_up(file):
    own = part(file)
    if own == "__init__":
        return
    for name in imports(file):
        if name.split(".")[0] != "gen_jax" or name == "gen_jax":
            continue
        other = name.split(".")[1]
        assert other == own.split(".")[0] or other in BOTTOM | ALLOWED[own], f"{own} may not import {name}"
        assert not (own == "training" and name.startswith("gen_jax.training.loop")), f"{file.name} imports the loop"


@pytest.mark.parametrize("file", sorted((ROOT / "families").glob("*.py")), ids=lambda f: f.name)
def test_families_know_no_optimizer_checkpoint_or_config(file):
    assert not {name.split(".")[0] for name in imports(file)} & FORBIDDEN_IN_FAMILIES


def test_no_two_files_import_each_other():
    graph = {}
    for file in FILES:
        module = "gen_jax." + ".".join(file.relative_to(ROOT).with_suffix("").parts)
        graph[module] = {n for n in imports(file) if n.startswith("gen_jax.")}
    for a, targets in graph.items():
        for b in graph:
            if a < b and any(n == b or n.startswith(b + ".") for n in targets):
                assert not any(n == a or n.startswith(a + ".") for n in graph[b]), f"{a} and {b} import each other"


@pytest.mark.parametrize("config", sorted((ROOT.parent / "configs").rglob("*.py")), ids=lambda f: f.stem)
def test_configs_import_nothing_of_the_package(config):
    assert {name.split(".")[0] for name in imports(config)} <= {"ml_collections"}


def test_importing_loads_no_other_framework():
    code = (
        "import sys, gen_jax.main, gen_jax.sample, gen_jax.evaluate;"
        "heavy = 'tensorflow', 'torch', 'tensorflow_datasets', 'sklearn', 'matplotlib';"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
