"""NAS-Bench-NLP: the best validation loss of recurrent architectures that others trained, predicted before and while they train.

    python experiments/nas_bench_nlp/predict.py RUNS.jsonl.gz --out artifacts/nas_bench_nlp
    python experiments/nas_bench_nlp/predict.py NEW.jsonl.gz --learn-from RUNS.jsonl.gz --out artifacts/nas_bench_nlp

Every recipe becomes a torch module of a few tens of units; its spectrum under words of a text, growth through the stack,
linear memory and zero-cost proxies are measured untrained (`untrained.py`). Methods predict at the epochs 0, 1, 3 and 5, from
folds that hold no run of the same architecture; or, with --learn-from, from the runs of another file, without those of
architectures that are to be predicted. It can be stopped at any time and goes on where it was.

OUT/measured.jsonl holds what was measured, OUT/predictions.parquet every prediction, OUT/correlations.csv Spearman's ρ with
bootstrap intervals over architectures, and how far ours lies above each method.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from judge import correlations, folds_of, methods_of, predictions, predictions_of_others, table_of
from runs import Run, RunsError, read_runs
from store import fill
from text import default_text, words_of

from aelle.prediction.table import Table
from aelle.records import write_frame

FEWEST = 40
"""Runs from which something can be learnt."""

ALL, WITH_PUBLISHED = "all", "with published proxies"


def main() -> int:
    """Measure, predict, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="file of runs, one JSON object a line, gzipped or not")
    parser.add_argument("--out", type=Path, default=Path("artifacts/nas_bench_nlp"))
    parser.add_argument(
        "--learn-from", type=Path, help="another file of runs, from which alone methods learn"
    )
    parser.add_argument(
        "--text", type=Path, help="text whose words drive the cells; War and Peace in AELLE_DATA"
    )
    parser.add_argument("--minutes", type=float, default=np.inf, help="stop measuring after so long")
    options = parser.parse_args()
    try:
        return _run(options)
    except (ValueError, OSError) as error:
        print(f"Error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    judged = _read(options.runs)
    others = _read(options.learn_from) if options.learn_from else []
    learnt = [run for run in others if run.architecture not in {other.architecture for other in judged}]
    count = len(learnt if options.learn_from else judged)
    if count < FEWEST:
        raise RunsError(f"{count} runs to learn from; at least {FEWEST} are needed")
    runs = [*judged, *(_renamed(run) for run in learnt)]
    words = words_of(options.text or default_text())
    measured, left = fill(options.out / "measured.jsonl", runs, words, 60 * options.minutes)
    if left:
        print(f"{left} measurements are left; run the command again to go on")
        return 0
    table = table_of(runs, measured)
    own = {run.name for run in judged} if learnt else set()
    found = _predicted(table, runs, np.array([name in own for name in table.networks.index]))
    names = {run.name: run.architecture for run in runs}
    parts = found.groupby("runs", sort=False)
    rows = pd.concat([pd.DataFrame(correlations(part, names)).assign(runs=name) for name, part in parts])
    write_frame(options.out / "predictions.parquet", found, {})
    rows.round(4).to_csv(options.out / "correlations.csv", index=False)
    print(_shown(rows))
    return 0


def _predicted(table: Table, runs: Sequence[Run], own: np.ndarray) -> pd.DataFrame:
    """Predictions of all runs, and once more of those that bring proxies with them; `own` are those to predict, if any."""
    architectures = {run.name: run.architecture for run in runs}
    brought = {run.name for run in runs if run.proxies}
    frames = []
    for part in (ALL, WITH_PUBLISHED):
        chosen = np.array([part == ALL or name in brought for name in table.networks.index])
        if chosen.sum() < FEWEST or (own.any() and not (own & chosen).any()):
            continue
        cut, methods = table.of(chosen), methods_of(part == WITH_PUBLISHED)
        if own.any():
            found = predictions_of_others(cut, own[chosen], methods)
        else:
            found = predictions(cut, folds_of([architectures[name] for name in cut.networks.index]), methods)
        frames.append(found.assign(runs=part))
    return pd.concat(frames, ignore_index=True)


def _read(path: Path) -> list[Run]:
    runs, left_out = read_runs(path)
    for words in left_out:
        print(words, file=sys.stderr)
    return runs


def _renamed(run: Run) -> Run:
    """A run of the other file, whose lines are counted from 1 as well."""
    return Run(**{**vars(run), "name": f"other-{run.name}"})


def _shown(rows: pd.DataFrame) -> str:
    lines = []
    for (part, epoch), at in rows.groupby(["runs", "epoch"]):
        count, ours = at["networks"].iloc[0], at["ours"].iloc[0]
        lines += ["", f"runs: {part}; epoch {epoch}, {count} of them; {ours} leads by"]
        for row in at.sort_values("spearman", ascending=False).itertuples():
            lead = f"{row.lead:+.3f} [{row.lead_low:+.3f}, {row.lead_high:+.3f}]"
            lines.append(f"  {row.method:<46} {row.spearman:.3f} [{row.low:.3f}, {row.high:.3f}]  {lead}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
