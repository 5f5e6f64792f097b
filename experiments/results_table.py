"""The README's tables of results, from the small tables in experiments/results/.

    python experiments/results_table.py            # prints them
    python experiments/results_table.py --write    # puts them between the markers of README.md
    python experiments/results_table.py --check    # exit code 1 where README.md says something else

The tables of the goals are made by experiments/goals/evaluate.py; those in results/doubled/ from a folder of
collections that were extended to twice the networks.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
RESULTS = HERE / "results"
START, END = "<!-- results: made by experiments/results_table.py -->", "<!-- end of results -->"

_IN_CONTEXT, _STACKED = "AeLLE + architecture/size", "AeLLE + curve + hyperparameters"
_BARE, _ALONE = " without readout growth", ", network alone"
LADDER = (
    "last value",
    "best so far",
    "learning curve",
    "hyperparameters only",
    "curve + hyperparameters",
    "weight statistics",
    "extra-trees on curve + hyperparameters + weight statistics",
    "raw spectrum",
    "extra-trees on the channels + readout growth + architecture/size",
    "AeLLE",
    _IN_CONTEXT,
    _IN_CONTEXT + _ALONE,
    _IN_CONTEXT + _BARE,
    _STACKED,
)
GOALS = (  # goal, epoch, our method, words
    ("a", "0", _IN_CONTEXT, "a. fixed, epoch 0: hyperparameters only"),
    ("b, trees", "1", _IN_CONTEXT, "b. varied, epoch 1: the better tree on the same inputs"),
    ("b, trees", "1", "AeLLE", "b. the same, architecture and size unknown to both"),
    ("b, trees", "1", _IN_CONTEXT + _BARE, "b. the same, both without readout growth"),
    ("b, learning curve", "1", _IN_CONTEXT, "b. varied, epoch 1: the best of the learning curve alone"),
    ("b, learning curve", "1", _IN_CONTEXT + _BARE, "b. the same, AeLLE without readout growth"),
    ("c", "0", _STACKED, "c. varied, epoch 0: weight statistics + curve + hyperparameters"),
    ("c", "1", _STACKED, "c. varied, epoch 1: the same"),
    ("c", "3", _STACKED, "c. varied, epoch 3: the same"),
)
AGAIN = "the same networks trained again"
Row = dict[str, str]


def read(name: str) -> list[Row]:
    """Rows of one small table."""
    with (RESULTS / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def correlations(rows: Sequence[Row], kind: str, epoch: int) -> str:
    """Spearman with its interval, methods down and tasks across; the best of each column in bold."""
    chosen = [row for row in rows if row["set"] == kind and int(row["epoch"]) == epoch]
    tasks = list(dict.fromkeys(row["task"] for row in chosen))
    found = {(row["method"], row["task"]): row for row in chosen if row["method"] in LADDER}
    best = {
        t: max((r for (_, task), r in found.items() if task == t), key=lambda r: float(r["spearman"] or "-2"))
        for t in tasks
    }
    lines = ["| method | " + " | ".join(map(_words, tasks)) + " |", "|---" * (len(tasks) + 1) + "|"]
    for method in (m for m in LADDER if any((m, t) in found for t in tasks)):
        cells = [_cell(found.get((method, task)), best[task]) for task in tasks]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def again(rows: Sequence[Row]) -> str:
    """One more line of that table: what one training says about another of the same untrained networks."""
    tasks = dict.fromkeys(row["task"] for row in rows if row["set"] == "fixed")
    second = {row["task"]: row for row in read("ceiling.csv")}
    cells = [
        f"{float(r['again']):.2f} [{float(r['low']):.2f}, {float(r['high']):.2f}]"
        for r in map(second.get, tasks)
        if r
    ]
    return f"| *{AGAIN}* | " + " | ".join(cells) + " |"


def _cell(row: Row | None, best: Row) -> str:
    if row is None or not row["spearman"]:
        return "–"
    shown = f"{float(row['spearman']):.2f} [{float(row['low']):.2f}, {float(row['high']):.2f}]"
    return f"**{shown}**" if row is best else shown


def _words(task: str) -> str:
    return task.replace("-", " ")


def goals(rows: Sequence[Row]) -> str:
    """AeLLE's lead over each goal's baseline with its interval, tasks across; bold where the goal is met there."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    found = {(row["goal"], row["epoch"], row["method"], row["task"]): row for row in rows}
    lines = [
        "| goal, AeLLE's lead over | " + " | ".join(map(_words, tasks)) + " |",
        "|---" * (len(tasks) + 1) + "|",
    ]
    for goal, epoch, method, words in (g for g in GOALS if any(row["goal"] == g[0] for row in rows)):
        cells = [_lead(found.get((goal, epoch, method, task))) for task in tasks]
        lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _lead(row: Row | None) -> str:
    if row is None:
        return "–"
    shown = f"{float(row['difference']):+.2f} [{float(row['low']):+.2f}, {float(row['high']):+.2f}]"
    return f"**{shown}**" if row["met"] == "True" else shown


def tables() -> str:
    """All that stands between the markers."""
    found, verdicts = read("goals_spearman.csv"), read("goals_verdicts.csv")
    parts = [
        "*Learning rate and everything else vary; known: one epoch of training.*",
        "",
        correlations(found, "varied", 1),
    ]
    if any(row["set"] == "fixed" for row in found):
        parts += [
            "",
            "*Learning rate fixed; known: the untrained network.*",
            "",
            correlations(found, "fixed", 0) + "\n" + again(found),
        ]
    parts += ["", "*The goals that were set beforehand; bold where one is met.*", "", goals(verdicts)]
    more = read("doubled/goals_verdicts.csv")
    parts += [
        "",
        "*The same where as many networks again were drawn after that: 408 a task.*",
        "",
        goals(more),
    ]
    return "\n".join(parts)


def replaced(text: str) -> str:
    """`text` with the present tables between its markers.

    Raises:
        ValueError: where it lacks the markers.
    """
    if text.count(START) != 1 or text.count(END) != 1:
        raise ValueError(f"expected one line {START!r} and one {END!r} after it")
    before, after = text.split(START)[0], text.split(END)[1]
    return f"{before}{START}\n{tables()}\n{END}{after}"


def main() -> int:
    """Print, write or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="put the tables into README.md")
    choice.add_argument("--check", action="store_true", help="say whether README.md holds these tables")
    options = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if options.write:
        README.write_text(replaced(text), encoding="utf-8")
    elif options.check:
        if replaced(text) != text:
            print(
                "README.md: its results differ from experiments/results; run results_table.py --write",
                file=sys.stderr,
            )
            return 1
    else:
        print(tables())
    return 0


if __name__ == "__main__":
    sys.exit(main())
