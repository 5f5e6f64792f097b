"""Small tables of the contest from its lines of JSON: experiments/results/contest.csv and contest_verdicts.csv.

    python experiments/condition/summarise.py FOLDER [--results experiments/results]

Everybody has the epochs of the task. What a method spends before training is taken off them: its seconds in seconds of that
cell's epochs, rounded to whole epochs. A network has solved a task if it passed the threshold in what is left. Leads are
paired: the same networks under both methods. Intervals are percentiles of 4,000 draws of networks, within each architecture.
"""

import argparse
import csv
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from cells import TASKS
from contest import rows
from entrants import ELSEWHERE, METHODS, OURS

DRAWS = 4000
SECOND_SEED = "second seed"
DEFAULT = "torch default"
WORST = {
    name: 10 * task.threshold for name, task in TASKS.items()
}  # what a diverged network counts in a mean error
Cell = dict[int, dict[str, float]]  # network → what `outcome` gives


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args()
    found = cells(options.folder)
    judged_tasks = verdicts(found)
    complete = {
        row["task"] for row in judged_tasks
    }  # means over other tasks would be over other architectures
    table = [row for key in pooled(found) for row in table_rows(found, *key) if row["task"] in complete]
    write(options.results / "contest.csv", table)
    write(options.results / "contest_verdicts.csv", judged_tasks)


def cells(folder: Path) -> dict[tuple[str, str, str], Cell]:
    """Networks by task, architecture and method, with the price taken off."""
    by_cell: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows(folder):
        if row["task"] in TASKS and row["method"] in METHODS:
            by_cell[row["task"], row["architecture"], row["method"]].append(row)
    found = {key: judged(TASKS[key[0]].epochs, key[0], lines) for key, lines in by_cell.items()}
    for (task, architecture, method), lines in list(by_cell.items()):
        if method == DEFAULT:
            found[task, architecture, SECOND_SEED] = second_seeds(task, lines)
    return found


def judged(epochs: int, task: str, lines: list[dict[str, Any]]) -> Cell:
    """What became of each network of a cell in the epochs that its price leaves."""
    price = float(np.median([r["begin_seconds"] / (r["train_seconds"] / epochs) for r in lines]))
    left = max(0, math.floor(epochs - price + 0.5))
    return {
        row["network"]: outcome(task, row["metrics"][: left + 1], price)
        | {"free": outcome(task, row["metrics"], price)["solved"]}
        for row in lines
    }


def second_seeds(task: str, lines: list[dict[str, Any]]) -> Cell:
    """Two networks of half the epochs each, the better one of which counts; the other is the next of its size."""
    half = TASKS[task].epochs // 2
    by_number = {row["network"]: outcome(task, row["metrics"][: half + 1], 0.0) for row in lines}
    joined = {}
    for number, one in by_number.items():
        other = by_number.get(number + 2, by_number.get(number % 2, one))
        joined[number] = max(one, other, key=lambda o: (o["solved"], o["gain"]))
    return joined


def outcome(task: str, metrics: list[float | None], price: float) -> dict[str, float]:
    """Solved or not, epochs until the threshold with the price, the last metric (the worst where it diverged), its sign so
    that more is better, and the price."""
    worst = math.inf if lower_is_better(task) else 0.0
    values = [worst if m is None else m for m in metrics]
    threshold = TASKS[task].threshold
    passed = [v <= threshold if lower_is_better(task) else v >= threshold for v in values]
    when = passed.index(True) + price if any(passed) else math.inf
    last = min(values[-1], WORST[task]) if lower_is_better(task) else values[-1]
    gain = -last if lower_is_better(task) else last
    return {"solved": float(any(passed)), "when": when, "metric": last, "gain": gain, "price": price}


def lower_is_better(task: str) -> bool:
    """Whether a smaller metric is better."""
    return TASKS[task].lower_is_better


def pooled(found: dict[tuple[str, str, str], Cell]) -> list[tuple[str, str]]:
    """Tasks and architectures in the order of the table, "all" after those of a task."""
    keys = []
    for task in TASKS:
        architectures = list(dict.fromkeys(a for t, a, _ in found if t == task))
        keys += [(task, a) for a in architectures]
        keys += [(task, "all")] if architectures else []
    return keys


def networks_of(
    found: dict[tuple[str, str, str], Cell], task: str, architecture: str, method: str
) -> dict[tuple[str, int], dict[str, float]]:
    """Outcomes by architecture and number; for with the stand-ins of entrants.py for "all"."""
    architectures = (
        [a for t, a, m in found if t == task and m == DEFAULT] if architecture == "all" else [architecture]
    )
    joined = {}
    for one in architectures:
        only = METHODS[method].only if method in METHODS else ()
        apt = ELSEWHERE[method] if architecture == "all" and only and one not in only else method
        cell = found.get((task, one, apt), {})
        joined |= {(one, number): outcome for number, outcome in cell.items()}
    return joined


def table_rows(found: dict[tuple[str, str, str], Cell], task: str, architecture: str) -> list[dict[str, Any]]:
    """A row for each method of a task and architecture, with its lead over torch's default."""
    made = []
    base = networks_of(found, task, architecture, DEFAULT)
    for method in [*METHODS, SECOND_SEED]:
        cell = networks_of(found, task, architecture, method)
        if not cell:
            continue
        low, high = interval(cell, None, "solved")
        lead, metric = compared(cell, base, "solved"), compared(cell, base, "gain")
        when = np.median([o["when"] for o in cell.values()])
        made.append(
            {
                "task": task,
                "architecture": architecture,
                "method": method,
                "networks": len(cell),
                "solved": rounded(np.mean([o["solved"] for o in cell.values()])),
                "low": low,
                "high": high,
                "free": rounded(np.mean([o.get("free", o["solved"]) for o in cell.values()])),
                "epochs": rounded(when, 1) if math.isfinite(when) else "",
                "metric": rounded(np.mean([o["metric"] for o in cell.values()])),
                "price": rounded(np.median([o["price"] for o in cell.values()]), 2),
                **dict(zip(("lead", "lead_low", "lead_high"), lead, strict=True)),
                **dict(zip(("gain", "gain_low", "gain_high"), metric, strict=True)),
            }
        )
    return made


def verdicts(found: dict[tuple[str, str, str], Cell]) -> list[dict[str, Any]]:
    """For each task, over all its architectures: our methods against torch's default and the best rival there."""
    made = []
    for task in dict.fromkeys(t for t, _, _ in found):
        base = networks_of(found, task, "all", DEFAULT)
        rivals = {m: networks_of(found, task, "all", m) for m, chosen in METHODS.items() if chosen.rival}
        solved = {
            m: np.mean([o["solved"] for o in c.values()]) for m, c in rivals.items() if len(c) == len(base)
        }
        for method in OURS:
            cell = networks_of(found, task, "all", method)
            if not cell or not solved:
                continue
            best = max(solved, key=lambda m: solved[m])
            ahead, over = compared(cell, rivals[best], "solved"), compared(cell, base, "solved")
            harm = compared(cell, base, "gain")
            own, default = (np.mean([o["solved"] for o in c.values()]) for c in (cell, base))
            made.append(
                {
                    "task": task,
                    "memory": TASKS[task].memory,
                    "method": method,
                    "networks": len(cell),
                    "solved": rounded(own),
                    "default": rounded(default),
                    "twice": bool(own >= 2 * default and own > 0),
                    "lead": over[0],
                    "lead_low": over[1],
                    "lead_high": over[2],
                    "rival": best,
                    "rival_solved": rounded(solved[best]),
                    "ahead": ahead[0],
                    "ahead_low": ahead[1],
                    "ahead_high": ahead[2],
                    "gain": harm[0],
                    "gain_low": harm[1],
                    "gain_high": harm[2],
                }
            )
    return made


def compared(one: dict, other: dict, what: str) -> tuple[float, float, float]:
    """Mean difference over the networks that both have, better being positive, with its interval."""
    both = {key: one[key] for key in one if key in other}
    if not both:
        return math.nan, math.nan, math.nan
    difference = np.mean([one[k][what] - other[k][what] for k in both])
    return rounded(difference), *interval(both, other, what)


def interval(cell: dict, other: dict | None, what: str) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the mean, networks drawn with replacement within each architecture."""
    generator, by_architecture = np.random.default_rng(0), defaultdict(list)
    for key, outcome in cell.items():
        by_architecture[key[0]].append(outcome[what] - (other[key][what] if other else 0.0))
    total = np.zeros(DRAWS)
    for values in by_architecture.values():
        drawn = generator.integers(len(values), size=(DRAWS, len(values)))
        total += np.asarray(values)[drawn].sum(1)
    low, high = np.percentile(total / len(cell), [2.5, 97.5])
    return rounded(low), rounded(high)


def rounded(number: float, digits: int = 3) -> float:
    """Of plain type, without a negative zero."""
    return round(float(number), digits) + 0.0


def write(path: Path, table: list[dict[str, Any]]) -> None:
    """One small table."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(table[0]) if table else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
