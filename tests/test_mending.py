"""The ten lines of the documentation mend an LSTM that does not learn without the one line that they add."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "mend.md"
LINE = re.compile(r"^.*aelle\.condition\(.*\n", re.M)


def example():
    return re.search(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)[1]


def accuracy_of(code):
    torch.manual_seed(0)
    printed = []
    exec(compile(code, str(PAGE), "exec"), {"print": printed.append})
    return float(printed[-1])


def test_it_is_ten_lines_beside_the_imports():
    lines = [line for line in example().splitlines() if line and not re.match(r"(import|from) ", line)]
    assert len(lines) == 10
    assert len(LINE.findall(example())) == 1


@pytest.mark.slow
def test_with_the_line_it_learns_and_without_it_does_not():
    assert accuracy_of(LINE.sub("", example())) < 0.4  # of four symbols, one in four is chance
    assert accuracy_of(example()) > 0.95
