"""Count exponents that are trusted and false: random cells of every architecture and gain against many digits.

    python experiments/benchmarks/trusted.py --draws 2000

A trusted exponent is one that rounding has left good to 1e-3 nats per step. Each draw compares the engine with
modified Gram-Schmidt in 80 digits on the same Jacobians, from the same first frame. The count must be 0.
"""

from __future__ import annotations

import argparse
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from aelle.recurrent.registry import ARCHITECTURES
from tests.lyapunov_oracles import against_many_digits

GAINS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 12.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first draw, to go on from")
    arguments = parser.parse_args()
    compared = trusted = exponents = false = understated = 0
    for draw in range(arguments.first, arguments.first + arguments.draws):
        choose = random.Random(draw)
        name, size = choose.choice(sorted(ARCHITECTURES)), 2 * choose.randint(1, 3)
        gain = choose.choice(GAINS)
        found = against_many_digits(name, size, gain, draw)
        if found is None:
            continue
        errors, stated, count = found
        compared, trusted, exponents = compared + 1, trusted + count, exponents + len(errors)
        wrong = [i + 1 for i, error in enumerate(errors[:count]) if not error <= 1e-3]
        false += bool(wrong)
        understated += any(
            error > bound + 1e-9 * max(gain, 1) for error, bound in zip(errors[:count], stated, strict=False)
        )
        if wrong:
            print(
                f"draw {draw}: {name}, {size} units, gain {gain}: exponents {wrong} of {count} trusted",
                flush=True,
            )
        if (draw + 1) % 100 == 0:
            print(
                f"{draw + 1}: {compared} compared, {trusted} of {exponents} trusted, {false} with a false one, "
                f"{understated} understated", flush=True,
            )  # fmt: skip
    sys.exit(1 if false else 0)


if __name__ == "__main__":
    main()
