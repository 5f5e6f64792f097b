"""The tables of docs/results.md and docs/contest.md and the summary in README.md, from the small tables in experiments/results/.

    python experiments/results_table.py            # prints them
    python experiments/results_table.py --write    # puts them between the markers of the pages
    python experiments/results_table.py --check    # exit code 1 where a page says something else

The tables of the goals are made by experiments/goals/evaluate.py; those in results/doubled/ from a folder of
collections that were extended to twice the networks. Those of the contest of starts by experiments/condition/summarise.py.
"""

import argparse
import csv
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
PAGES = {  # part → the page that holds it
    "results": "docs/results.md",
    "summary": "README.md",
    "looks": "docs/spectrum.md",
    "gates": "docs/spectrum.md",
    "contest": "docs/contest.md",
}

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
SUMMARY = {  # method → heading; what the README shows of everything varied, one epoch known
    "last value": "last value",
    "curve + hyperparameters": "curve and hyperparameters",
    _IN_CONTEXT: "AeLLE, hyperparameters unknown",
    _STACKED: "AeLLE with both",
}
Row = dict[str, str]


def read(name: str) -> list[Row]:
    """Rows of one small table."""
    with (RESULTS / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def correlations(rows: Sequence[Row], kind: str, epoch: int) -> str:
    """Spearman with its interval, methods down and tasks across. No best is marked: most leads are chance."""
    chosen = [row for row in rows if row["set"] == kind and int(row["epoch"]) == epoch]
    tasks = list(dict.fromkeys(row["task"] for row in chosen))
    found = {(row["method"], row["task"]): row for row in chosen if row["method"] in LADDER}
    lines = ["| method | " + " | ".join(map(_words, tasks)) + " |", "|---" * (len(tasks) + 1) + "|"]
    for method in (m for m in LADDER if any((m, t) in found for t in tasks)):
        cells = [_cell(found.get((method, task))) for task in tasks]
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


def _cell(row: Row | None) -> str:
    if row is None or not row["spearman"]:
        return "–"
    return f"{float(row['spearman']):.2f} [{float(row['low']):.2f}, {float(row['high']):.2f}]"


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
        "*The same with 408 networks per task, as many again drawn after that; by the evaluation before the last.*",
        "",
        goals(more),
    ]
    return "\n".join(parts)


def summary() -> str:
    """The README's small table: one row per task, four methods."""
    found = {
        (row["task"], row["method"]): row
        for row in read("goals_spearman.csv")
        if row["set"] == "varied" and row["epoch"] == "1"
    }
    lines = ["| task | " + " | ".join(SUMMARY.values()) + " |", "|---" * (len(SUMMARY) + 1) + "|"]
    for task in dict.fromkeys(task for task, _ in found):
        cells = [_cell(found.get((task, method))) for method in SUMMARY]
        lines.append(f"| {_words(task)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def looks() -> str:
    """Looks down and tasks across, for each epoch: Spearman, its difference to the full look, and the price in epochs."""
    rows = read("look_power.csv")
    epochs = sorted({int(row["epoch"]) for row in rows})
    titles = ["*Before training.*" if epoch == 0 else f"*After epoch {epoch}.*" for epoch in epochs]
    tables = [_looks_at([row for row in rows if int(row["epoch"]) == epoch]) for epoch in epochs]
    return "\n\n".join(f"{title}\n\n{table}" for title, table in zip(titles, tables, strict=True))


def _looks_at(rows: Sequence[Row]) -> str:
    tasks, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("task", "look"))
    found = {(row["look"], row["task"]): row for row in rows}
    lines = ["| what is taken | " + " | ".join(map(_words, tasks)) + " |", "|---" * (len(tasks) + 1) + "|"]
    for name in names:
        lines.append(f"| {name} | " + " | ".join(_power(found.get((name, task))) for task in tasks) + " |")
    return "\n".join(lines)


def gates() -> str:
    """What a gate by looks before training saves: regret after 8 trainings, less that of its rival, tasks down."""
    rows = [row for row in read("stopping_looks.csv") if int(row["budget"]) == _TRAININGS]
    found = {(row["sweep"], row["strategy"]): row for row in rows}
    lines = [
        "| task | a look, in epochs of the mean network | architecture and size known: gate, then ASHA, less ASHA | all known: with the look, less without |",
        "|---|---|---|---|",
    ]
    for sweep in dict.fromkeys(row["sweep"] for row in rows):
        bare, full = found[sweep, _GATE], found[sweep, _GATE_ON_ALL]
        price = f"{float(bare['epochs_a_spectrum_costs']):.3f}"
        cells = [_saved(bare, "minus_asha"), _saved(full, "minus_hyperparameters")]
        lines.append(f"| {_words(sweep.removesuffix('-varied'))} | {price} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


_TRAININGS = 8
_GATE, _GATE_ON_ALL = "look: gate, then ASHA", "look + hyperparameters: gate, then ASHA"


def _saved(row: Row, column: str) -> str:
    value, low, high = (float(row[f"{column}{end}"]) for end in ("", "_low", "_high"))
    shown = f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"**{shown}**" if low > 0 or high < 0 else shown


def _power(row: Row | None) -> str:
    if row is None:
        return "–"
    shown, least, most = f"{float(row['spearman']):.2f}", float(row["least"]), float(row["most"])
    if least or most:
        difference = f"{float(row['difference']):+.2f} [{least:+.2f}, {most:+.2f}]"
        shown += f", **{difference}**" if least > 0 or most < 0 else f", {difference}"
    return shown if not float(row["share"]) else f"{shown}; {float(row['share']):.3f}"


def contest() -> str:
    """Starts and cures: who solves what, over all architectures and in each; and our leads."""
    rows, verdicts = read("contest.csv"), read("contest_verdicts.csv")
    memory = list(dict.fromkeys(row["task"] for row in verdicts if row["memory"] == "True"))
    solving = [row for row in rows if row["task"] in memory]
    everywhere = [row for row in solving if row["architecture"] == "all"]
    parts = [
        "*Share of networks that solve a task, over all its architectures, with its 95 % interval.*",
        "",
        _grid(everywhere, "method", "task", _solved),
        "",
        "*Mean of these shares over the memory tasks, by architecture.*",
        "",
        _by_architecture([row for row in solving if row["architecture"] != "all"]),
        "",
        "*Leads of a conditioned network in that share, with 95 % intervals of paired differences.*",
        "",
        _leads([row for row in verdicts if row["task"] in memory]),
    ]
    other = [row for row in rows if row["task"] not in memory and row["architecture"] == "all"]
    if other:
        parts += [
            "",
            "*Where memory is not what networks lack: the last metric, and its difference from torch's default.*",
            "",
            _grid(other, "method", "task", _kept),
        ]
    return "\n".join(parts)


def _grid(rows: Sequence[Row], down: str, across: str, cell: Callable[[Row], str]) -> str:
    """A table of one cell for each pair; a dash where there is none."""
    found = {(row[down], row[across]): row for row in rows}
    downs, acrosses = (list(dict.fromkeys(row[name] for row in rows)) for name in (down, across))
    lines = [f"| {down} | " + " | ".join(acrosses) + " |", "|---" * (len(acrosses) + 1) + "|"]
    for one in downs:
        cells = [cell(found[one, other]) if (one, other) in found else "–" for other in acrosses]
        lines.append(f"| {one} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _solved(row: Row) -> str:
    return f"{float(row['solved']):.2f} [{float(row['low']):.2f}, {float(row['high']):.2f}]"


def _kept(row: Row) -> str:
    shown = f"{float(row['gain']):+.3f} [{float(row['gain_low']):+.3f}, {float(row['gain_high']):+.3f}]"
    return row["metric"] if row["method"] == "torch default" else f"{float(row['metric']):.3f}, {shown}"


def _by_architecture(rows: Sequence[Row]) -> str:
    shares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        shares.setdefault((row["method"], row["architecture"]), []).append(float(row["solved"]))
    tasks = {a: len(values) for (method, a), values in shares.items() if method == "torch default"}
    means = [
        {"method": method, "architecture": a, "solved": str(sum(values) / len(values))}
        for (method, a), values in shares.items()
        if len(values) == tasks[a]
    ]
    return _grid(means, "method", "architecture", lambda row: f"{float(row['solved']):.2f}")


def _leads(verdicts: Sequence[Row]) -> str:
    lines = ["| task | method | over torch default | best rival | over it |", "|---|---|---|---|---|"]
    for row in verdicts:
        over, ahead = (
            f"{float(row[n]):+.2f} [{float(row[n + '_low']):+.2f}, {float(row[n + '_high']):+.2f}]"
            for n in ("lead", "ahead")
        )
        over = f"**{over}**" if row["twice"] == "True" else over
        ahead = f"**{ahead}**" if float(row["ahead_low"]) > 0 else ahead
        lines.append(f"| {row['task']} | {row['method']} | {over} | {row['rival']} | {ahead} |")
    return "\n".join(lines)


def replaced(text: str, part: str) -> str:
    """`text` with the present tables of a part between its markers.

    Raises:
        ValueError: where it lacks the markers.
    """
    start, end = f"<!-- {part}: made by experiments/results_table.py -->", f"<!-- end of {part} -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"expected one line {start!r} and one {end!r} after it")
    before, after = text.split(start)[0], text.split(end)[1]
    return f"{before}{start}\n{_MADE[part]()}\n{end}{after}"


_MADE = {"results": tables, "summary": summary, "looks": looks, "gates": gates, "contest": contest}


def main() -> int:
    """Print, write or check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--write", action="store_true", help="put the tables into the pages")
    choice.add_argument("--check", action="store_true", help="say whether the pages hold these tables")
    options = parser.parse_args()
    stale = False
    for part, name in PAGES.items():
        page = ROOT / name
        if not (options.write or options.check):
            print(_MADE[part]())
            continue
        text = page.read_text(encoding="utf-8")
        made = replaced(text, part)
        if options.write:
            page.write_text(made, encoding="utf-8")
        elif made != text:
            stale = True
            print(f"{name} differs from experiments/results; run results_table.py --write", file=sys.stderr)
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
