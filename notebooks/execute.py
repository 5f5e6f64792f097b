"""Run notebooks and keep their outputs, each figure also as a picture for readers that run no scripts.

    python notebooks/execute.py [notebook ...]

Needs the `dev` extra; pictures need Chromium or Chrome (BROWSER_PATH names one that is not found by itself).
"""

import base64
import os
import shutil
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

PLOTLY = "application/vnd.plotly.v1+json"


def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in its folder; return it with outputs, without what the machine alone knows."""
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"  # the figure as data; plotly.js is not copied in
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def add_pictures(notebook: nbformat.NotebookNode) -> int:
    """Add a PNG to each plotly output; return how many."""
    import kaleido
    import plotly.graph_objects as go

    browser = os.environ.get("BROWSER_PATH") or shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return 0
    os.environ["BROWSER_PATH"] = browser
    figures = [o.data for c in notebook.cells for o in c.get("outputs", []) if PLOTLY in o.get("data", {})]
    kaleido.start_sync_server(silence_warnings=True)
    for data in figures:
        figure = {"data": data[PLOTLY]["data"], "layout": data[PLOTLY]["layout"]}
        picture = kaleido.calc_fig_sync(
            go.Figure(figure), opts={"format": "png", "width": 800, "height": 440}
        )
        data["image/png"] = base64.b64encode(picture).decode("ascii")
    kaleido.stop_sync_server()
    return len(figures)


def main(paths: list[str]) -> None:
    """Execute the named notebooks, or all beside this file."""
    for path in [Path(p) for p in paths] or sorted(Path(__file__).parent.glob("*.ipynb")):
        notebook = execute(path)
        count = add_pictures(notebook)
        nbformat.write(notebook, path)
        print(f"{path.name}: {count} pictures")


if __name__ == "__main__":
    main(sys.argv[1:])
