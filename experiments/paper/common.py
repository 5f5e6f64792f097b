"""What every figure of the papers shares: arguments, the look of its panels, and what it writes.

A script measures, draws, and judges by a criterion that it states. `finish` writes NAME.json (claim, criterion,
numbers, verdict) and, for each picture, HTML and PNG; then it prints the verdict, one line.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from plotly.subplots import make_subplots

from aelle.explorer.theme import LIGHT, axis, base_layout
from aelle.records import write_json

OUT = Path("artifacts/paper")
VOGT_2022 = "Vogt, Puelma Touzel, Shlizerman & Lajoie 2022, arXiv:2006.14123"
AELLE = "Vogt, Zheng & Shlizerman 2022, arXiv:2204.04876"


@dataclass(frozen=True)
class Verdict:
    """What the paper shows, by which rule that counts as reproduced, and what was found.

    `reproduced` must follow from the measured numbers alone; `finding` says them in one line.
    """

    source: str
    claim: str
    criterion: str
    reproduced: bool
    finding: str

    def __str__(self) -> str:
        return f"{'reproduced' if self.reproduced else 'not reproduced'}: {self.finding}"


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options of every figure; its help is the script's own text."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--out", type=Path, default=OUT, help="folder of figures and numbers (%(default)s)")
    made.add_argument("--results", type=Path, help="folder for a second copy of the numbers")
    return made


def records_parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of a figure of one folder of records, judged on networks its autoencoders have not seen."""
    arguments = parser(description)
    arguments.add_argument("folder", type=Path, help="records of at least 20 networks")
    arguments.add_argument(
        "--epoch", type=int, help="epoch of the spectra; the last one with spectra if not given"
    )
    arguments.add_argument("--folds", type=int, default=5)
    return arguments


def finish(
    options: argparse.Namespace,
    name: str,
    figures: Mapping[str, go.Figure],
    numbers: Mapping[str, Any],
    verdict: Verdict,
    *,
    task: str | None = None,
) -> None:
    """Write numbers and figures, then print the verdict.

    Files are named after the script and, where a figure is made for one of several tasks, the task; each picture
    besides by its key in `figures`, where that is not empty.
    """
    stem = name if task is None else f"{name}-{task}"
    content = {
        "figure": stem,
        "command": shlex.join(["python", f"experiments/paper/{name}.py", *_arguments()]),
        "source": verdict.source,
        "claim": verdict.claim,
        "criterion": verdict.criterion,
        "reproduced": bool(verdict.reproduced),
        "finding": verdict.finding,
        "numbers": plain(numbers),
    }
    for folder in filter(None, (options.out, options.results)):
        write_json(folder / f"{stem}.json", content)
    named = {f"{stem}-{key}" if key else stem: figure for key, figure in figures.items()}
    for picture, figure in named.items():
        figure.write_html(options.out / f"{picture}.html", include_plotlyjs="directory")
    try:
        files = [options.out / f"{picture}.png" for picture in named]
        sizes = {side: [figure.layout[side] for figure in named.values()] for side in ("width", "height")}
        plotly.io.write_images(list(named.values()), files, scale=1.5, **sizes)
    except Exception as error:
        print(f"no PNG was drawn: {str(error).splitlines()[0]}", file=sys.stderr)
    print(verdict)


def run(main: Callable[[], None]) -> None:
    """Run a script; a folder or setting that cannot be used is one line and exit code 2, not a traceback."""
    try:
        main()
    except ValueError as error:  # all errors of aelle about what it was given are ValueErrors
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _arguments() -> list[str]:
    """The command's arguments without those that say where results go."""
    kept, skip = [], False
    for argument in sys.argv[1:]:
        if skip or argument in ("--out", "--results"):
            skip = not skip
        elif not argument.startswith(("--out=", "--results=")):
            kept.append(argument)
    return kept


def plain(value: Any) -> Any:
    """Numbers as JSON knows them, four to five significant digits; NaN and infinities become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def panels(
    titles: Sequence[str],
    axes: Sequence[tuple[str, str]],
    *,
    width: int = 1100,
    height: int = 420,
    spacing: float = 0.09,
) -> go.Figure:
    """Panels side by side in the look of the explorer; `axes` are the words under and beside each."""
    words = [title.replace("_", " ") for title in titles]
    figure = make_subplots(1, len(titles), subplot_titles=words, horizontal_spacing=spacing)
    figure.update_layout(base_layout(LIGHT, width=width, height=height))
    figure.update_layout(margin={"l": 64, "r": 20, "t": 48, "b": 90}, dragmode="zoom")
    figure.update_annotations(font={"size": 13, "color": LIGHT.ink})
    figure.update_layout(legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"})
    for column, (below, beside) in enumerate(axes, start=1):
        figure.update_xaxes(axis(LIGHT, below), row=1, col=column)
        figure.update_yaxes(axis(LIGHT, beside), row=1, col=column)
    return figure


def zero_line(figure: go.Figure, column: int) -> None:
    """Draw the line between growth and decay."""
    figure.add_hline(y=0, line={"color": LIGHT.ink, "width": 1, "dash": "dash"}, row=1, col=column)
