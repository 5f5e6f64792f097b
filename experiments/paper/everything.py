"""Every figure of the papers by one command, on two cores in about four hours; run it again to resume.

    AELLE_DATA=/path/to/data python experiments/paper/everything.py
    AELLE_DATA=/path/to/data python experiments/paper/everything.py --full    # the papers' sizes, for a GPU

It collects the records of `experiments/paper/settings/` into `artifacts/`, resuming where they are unfinished, and then
draws each figure whose numbers are not in `--out` yet. Without `--full` the settings below are laid over the files:
fewer units, less text, as each file says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REDUCED = {
    "characters": [
        "task.options.share=0.1",
        "networks.hidden_size=64",
        "networks.per_combination=30",
        "training.epochs=20",
    ]
}
KEEPS_WEIGHTS = ("characters", "aelle_characters", "aelle_sequential_mnist")
LATENTS = ("latent_over_epochs", "latent_pca", "latent_perturbation", "pc1_threshold")


def records_of(setting: str) -> Path:
    """Where the records of one settings file go."""
    return Path("artifacts") / f"paper-{setting.replace('_', '-')}"


def collections(full: bool) -> dict[str, list[str]]:
    """The command of every collection, by the name of its settings file."""
    found = {}
    for file in sorted((HERE / "settings").glob("*.toml")):
        changes = [] if full else list(REDUCED.get(file.stem, []))
        if file.stem in KEEPS_WEIGHTS:
            changes.append("training.keep_checkpoints=true")
        settings = [word for change in changes for word in ("--set", change)]
        found[file.stem] = ["collect", str(file), "--output", str(records_of(file.stem)), *settings]
    return found


def figures() -> list[list[str]]:
    """Script and arguments of every figure."""
    made = [["regimes"], ["warmup_and_interval"], ["spectrum_cost"]]
    characters, motion_capture = records_of("characters"), records_of("motion_capture")
    both = ["--characters", str(characters), "--motion-capture", str(motion_capture)]
    made += [["exponent_against_loss", *both], ["published_code", str(characters)]]
    made += [["convergence_over_epochs", str(folder)] for folder in (characters, motion_capture)]
    for setting in ("aelle_characters", "aelle_sequential_mnist", "aelle_target_learning"):
        made += [[script, str(records_of(setting))] for script in LATENTS]
        made += [["novel_inputs", str(records_of(setting))]] if setting in KEEPS_WEIGHTS else []
    return made


def main() -> None:
    """Collect, then draw; stop at the first command that fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the papers' sizes")
    parser.add_argument("--out", type=Path, default=Path("artifacts/paper"), help="figures and numbers")
    options = parser.parse_args()
    for command in collections(options.full).values():
        _run([sys.executable, "-m", "aelle", *command])
    options.out.mkdir(parents=True, exist_ok=True)
    for script, *arguments in figures():
        done = (
            options.out / f".{'-'.join([script, *(Path(a).name for a in arguments if a[:2] != '--')])}.done"
        )
        if not done.exists():
            _run([sys.executable, str(HERE / f"{script}.py"), *arguments, "--out", str(options.out)])
            done.touch()


def _run(command: list[str]) -> None:
    print("+", *command, flush=True)
    code = subprocess.run(command, check=False).returncode
    if code != 0:
        raise SystemExit(code)


if __name__ == "__main__":
    main()
