"""The README's table of results, from the reports of `make demo`.

    python experiments/results_table.py artifacts/digits artifacts/latch

prints the table; with --write README.md it replaces what stands between the markers there.
"""

import argparse
import json
from pathlib import Path

START, END = "<!-- results: made by experiments/results_table.py -->", "<!-- end of results -->"


def table(folders: list[Path]) -> str:
    """Spearman with its interval, per method, task and epoch; the best of each column in bold."""
    columns, cells, methods = [], {}, []
    for folder in folders:
        report = json.loads((folder / "report.json").read_text())
        for epoch in report["epochs"]:
            rows = [row for row in report["rows"] if row["epoch"] == epoch]
            best = max(rows, key=lambda row: row["spearman"])
            columns.append(f"{report['task']}, epoch {epoch}")
            for row in rows:
                methods += [row["method"]] if row["method"] not in methods else []
                shown = f"{row['spearman']:.2f} [{row['spearman_low']:.2f}, {row['spearman_high']:.2f}]"
                cells[row["method"], columns[-1]] = f"**{shown}**" if row is best else shown
    lines = ["| method | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {m} | " + " | ".join(cells.get((m, c), "–") for c in columns) + " |" for m in methods]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, help="file to put the table into")
    options = parser.parse_args()
    made = table(options.folders)
    if options.write is None:
        print(made)
        return
    text = options.write.read_text()
    before, after = text.split(START)[0], text.split(END)[1]
    options.write.write_text(f"{before}{START}\n{made}\n{END}{after}")


if __name__ == "__main__":
    main()
