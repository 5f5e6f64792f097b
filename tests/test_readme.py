"""The README is short, and the pages that a newcomer reads first hold no sentence that needs a second reading."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
READ_FIRST = (
    "README.md",
    "docs/index.md",
    "docs/tour.md",
    "docs/results.md",
    "experiments/benchmarks/README.md",
)
LONGEST_SENTENCE = 30


def prose(text):
    """Paragraphs and list items without code, tables, headings, comments, pictures and the targets of links."""
    text = re.sub(
        r"^```.*?^```$|<!--.*?-->|^ {4}.*?$|^\|.*?$|^#.*?$|^!\[.*?$|</?div.*?>",
        "\n\n",
        text,
        flags=re.M | re.S,
    )
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n|^\s*(?:[-*]|\d+\.) ", text, flags=re.M)]


def sentences(text):
    """Sentences of the prose; `aelle.plot`, 0.9 and initials end none."""
    for paragraph in prose(text):
        yield from re.split(r"(?<=[a-z0-9)`\]*%][.!?:])[)*]* +(?=[A-Z`*\[(\d])", paragraph)


def words(sentence):
    return [word for word in sentence.split() if re.search(r"\w", word)]


def test_the_splitter_tells_a_long_sentence():
    long = "Here " + "word " * 31 + "ends."
    assert [
        n for s in sentences(f"# Title\n\nShort one. {long}\n\n| {long} |\n") if (n := len(words(s)))
    ] == [2, 33]


@pytest.mark.parametrize("name", READ_FIRST)
def test_no_sentence_is_too_long(name):
    found = [s for s in sentences((ROOT / name).read_text()) if len(words(s)) > LONGEST_SENTENCE]
    assert not found, f"{name}: {found}"


def test_the_readme_is_short_and_mostly_prose():
    lines = README.read_text().splitlines()
    assert len(lines) <= 120
    assert sum(line.startswith("|") for line in lines) <= len(lines) / 10
    columns = [line.strip("|").count("|") + 1 for line in lines if line.startswith("|")]
    assert max(columns) <= 5


@pytest.mark.parametrize("name", READ_FIRST)
def test_rates_are_said_with_per(name):
    found = re.findall(
        r"\b(?:networks?|rows?|seconds?|times?|numbers?|µs|ms|steps?|MB) an? (?:epoch|network|task|row|file|step|second|worker|core|input-step|lasso|page)\b",
        (ROOT / name).read_text(),
    )
    assert not found, f"{name}: write 'per' for rates, not {found}"
