"""The notebooks run from top to bottom, as a student runs them, with fewer steps."""

import shutil
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """The function that runs a notebook in tmp_path with other parameters, and returns its cells by id."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    home = {name: str(tmp_path / "home") for name in ("XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR")}
    for name, value in {**home, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}.items():
        monkeypatch.setenv(name, value)

    def run(name: str, **parameters: object) -> dict[str, nbformat.NotebookNode]:
        notebook = nbformat.read(ROOT / "colab" / name, as_version=4)
        cells = {cell.id: cell for cell in notebook.cells}
        for key, value in parameters.items():
            assert f"{key} = " in cells["parameters"].source
            cells["parameters"].source += f"\n{key} = {value!r}"
        nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
        return cells

    return run


def pictures(cell: nbformat.NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def text(cell: nbformat.NotebookNode) -> str:
    """What the cell printed, and the text of what it displayed."""
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in cell.outputs)


@pytest.mark.slow
def test_quickstart(execute, tmp_path):
    cells = execute("quickstart.ipynb", STEPS=4)

    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.get("outputs", ()))
    assert "(CPU)" in text(cells["device"])
    assert "step 4/4" in text(cells["train"])
    assert pictures(cells["loss"]) == 1
    assert "samples/step_00000004.png" in text(cells["grid"])
    assert pictures(cells["grid"]) == 1
    assert "'x': ((16, 8, 8, 1), 'uint8')" in text(cells["sample"])
    assert pictures(cells["sample"]) == 1
    assert "50 files" in text(cells["save"])
    saved = tmp_path / "runs" / "quickstart-samples"
    assert sorted(p.name for p in saved.iterdir()) == list("0123456789")
    assert len(list(saved.rglob("*.png"))) == 50
    assert not (tmp_path / "gen_jax_repository").exists()


@pytest.mark.slow
def test_diffusion(execute):
    cells = execute("diffusion.ipynb", STEPS=2, NUM=20)

    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.get("outputs", ()))
    assert pictures(cells["forward"]) == 1
    assert "step 2/2" in text(cells["train"])
    assert text(cells["samplers"]).count("read as asked") == 12
    assert pictures(cells["samplers-plot"]) == 1
    assert pictures(cells["guidance"]) == 1
    assert text(cells["one-step"]).count("read as asked") == 3
    assert pictures(cells["one-step"]) == 1


@pytest.mark.slow
def test_compare_families(execute, tmp_path):
    cells = execute("compare_families.ipynb", STEPS=4, NUM=40, SWEEP=(1, 2))

    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.get("outputs", ()))
    assert text(cells["train"]).count("done: ") == 3
    assert [pictures(cells[name]) for name in ("samples", "curves", "sweep", "latent")] == [1, 1, 1, 1]
    assert "report.html" in text(cells["compare"])
    tables = next(o.data["text/markdown"] for o in cells["tables"].outputs if "text/markdown" in o.get("data", {}))
    assert "FID_own" in tables
    assert "### Speed of generation" in tables
    assert (tmp_path / "runs" / "families" / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_gan(execute):
    cells = execute("gan.ipynb", STEPS=4, STYLE_STEPS=2)

    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.get("outputs", ()))
    assert text(cells["train"]).count("of 25 modes") == 6
    assert [pictures(cells[name]) for name in ("data", "samples", "watch", "collapse-plot")] == [1, 2, 1, 1]
    assert "disc/spread is" in text(cells["collapse"])
    assert "mode collapse. What may help:" in text(cells["collapse"])
    assert "step 2/2" in text(cells["style"])
    assert [pictures(cells[name]) for name in ("walk", "truncation")] == [1, 1]


@pytest.mark.slow
def test_vae_and_latents(execute):
    cells = execute("vae_and_latents.ipynb", STEPS=4)

    assert not any(output.output_type == "error" for cell in cells.values() for output in cell.get("outputs", ()))
    assert "step 4/4" in text(cells["vae"])
    assert "dB of signal to error" in text(cells["reconstruct"])
    shown = ("curves", "reconstruct", "traverse", "walk", "arithmetic", "beta", "codec", "samples")
    assert [pictures(cells[name]) for name in shown] == [1] * len(shown)
    assert "latents of shape (4, 4, 4)" in text(cells["codec"])
    assert "step 4/4" in text(cells["second"])
