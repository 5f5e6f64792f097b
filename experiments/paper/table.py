"""The table of README.md from the numbers in experiments/results/paper.

python experiments/paper/table.py            # prints it
python experiments/paper/table.py --write    # puts it between the markers of README.md
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from settings import setting_of

HERE = Path(__file__).parent
RESULTS, README = HERE.parent / "results" / "paper", HERE / "README.md"
START, END = "<!-- figures: made by experiments/paper/table.py -->", "<!-- end of figures -->"


def table(folder: Path) -> str:
    """One row per figure: claim and criterion, both settings, the command, and the verdict with its numbers."""
    lines = [
        "| figure | of | the claim; our criterion | the paper's setting | what differs here | command | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        verdict = f"**{'reproduced' if found['reproduced'] else 'not reproduced'}**: {found['finding']}"
        setting = setting_of(found["figure"])
        cells = [
            found["figure"].replace("_", " ").replace("-", ", "),
            "V" if "2006.14123" in found["source"] else "A",
            f"{found['claim']}; {found['criterion']}",
            setting.paper,
            setting.ours,
            f"`{found['command']}`",
            verdict,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def with_table(text: str, made: str) -> str:
    """Replace what stands between the markers."""
    before, after = text.split(START)[0], text.split(END)[1]
    return f"{before}{START}\n{made}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="write README.md")
    made = table(RESULTS)
    if parser.parse_args().write:
        README.write_text(with_table(README.read_text(encoding="utf-8"), made), encoding="utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
