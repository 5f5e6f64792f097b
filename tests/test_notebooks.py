"""Every notebook runs from top to bottom, and is committed with its outputs."""

import os
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds when little else runs; each starts processes of its own
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype")
    notebook = nbformat.read(path, as_version=4)
    figures = sum("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs(notebook))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    drawn = sum("application/vnd.plotly.v1+json" in output.get("data", {}) for output in outputs(notebook))
    assert drawn == figures > 0
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebook_shows_its_figures(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    figures = [o.data for o in outputs(notebook) if "application/vnd.plotly.v1+json" in o.get("data", {})]
    assert figures
    assert all("image/png" in data for data in figures)
    text = path.read_text("utf-8")
    assert "/site-packages/" not in text
    assert "Traceback" not in text
