"""The documentation says what happens: its code runs, its commands exist, and its site builds without a warning."""

import ast
import doctest
import importlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from aelle import hyperparameters
from aelle.cli import cli
from aelle.config import parse_experiment
from aelle.records import SCHEMA

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [
    ROOT / "README.md",
    *sorted(p for p in DOCS.rglob("*.md") if p.name not in ("log.md", "changelog.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Pages whose shell blocks are run as they stand; on the others commands are checked against the command line.
RUN = tuple(
    f"docs/{name}.md"
    for name in ("tour", "how-to/own-cell", "how-to/own-task", "how-to/interchange", "how-to/optuna")
)
ELSEWHERE = ("embedding-atlas",)  # programs that are not part of the project
FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


def blocks(page):
    """Language, title and text of each block of code, in order."""
    return [match.groups() for match in FENCE.finditer(page.read_text("utf-8"))]


def commands(text):
    """The `aelle` commands of a shell block, as lists of words."""
    joined = re.sub(r"\\\n", " ", text)
    for line in joined.splitlines():
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        if words and words[0] == "aelle":
            yield words[1:]


def check_command(words):
    """Parse a command by the command line's own rules, without running it."""
    name, *arguments = words
    assert name in cli.commands, f"there is no `aelle {name}`"
    try:
        cli.commands[name].make_context(f"aelle {name}", list(arguments))
    except click.UsageError as error:
        raise AssertionError(f"aelle {shlex.join(words)}: {error.format_message()}") from None


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_setting_exists(page):
    opened = len(re.findall(r"^```", page.read_text("utf-8"), re.M))
    found = blocks(page)
    assert opened == 2 * len(found), "every block of code names its language"
    for language, title, text in found:
        if language == "sh":
            assert subprocess.run(["bash", "-n", "-c", text]).returncode == 0
            for words in commands(text):
                check_command(words)
        elif language == "toml":
            content = tomllib.loads(text)
            parse_experiment({"name": "x", "task": {"name": "digits"}} | content)
        elif language == "python" and ">>>" not in text:
            ast.parse(text)
        else:
            assert language in ("python", "text"), f"unknown language {language!r} {title or ''}"


RUNNABLE = [page for page in PAGES if any(language == "python" for language, *_ in blocks(page))]


@pytest.mark.slow
@pytest.mark.timeout(900)  # seconds when little else runs; pages start collections of their own
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {"__name__": "page"}
    run_shell = str(page.relative_to(ROOT)) in RUN
    for language, title, text in blocks(page):
        if title and title.endswith((".py", ".toml")) and language in ("python", "toml"):
            (tmp_path / title).write_text(text, "utf-8")
            importlib.invalidate_caches()
        elif language == "python" and ">>>" in text:
            run_doctest(text, names, page)
        elif language == "python":
            exec(compile(text, str(page), "exec"), names)
        elif language == "sh" and run_shell and not text.startswith(ELSEWHERE):
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            done = subprocess.run(
                ["bash", "-e", "-c", text], env={**os.environ, "PATH": path}, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{text}{done.stdout}{done.stderr}"
    for name in ("leaky", "parity"):
        sys.modules.pop(name, None)


def run_doctest(text, names, page):
    test = doctest.DocTestParser().get_doctest(text, names, str(page), str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    runner.run(test, clear_globs=False)
    names.update(test.globs)
    assert runner.summarize(verbose=False).failed == 0


def test_every_column_of_the_records_is_described():
    described = set(re.findall(r"`(\w+)`", (DOCS / "formats.md").read_text("utf-8").split("## Records")[1]))
    assert "<!-- hyperparameters -->" in (DOCS / "formats.md").read_text("utf-8")
    assert set(SCHEMA.names) <= described | set(hyperparameters.NAMES)


def test_hooks_take_sections_and_mend_links():
    sys.path.insert(0, str(DOCS / "site"))
    try:
        import hooks
    finally:
        sys.path.pop(0)
    assert (
        "| `init_gain` | initial gain p·√H | a number above 0 and at most 1,000,000, a list or a distribution |"
        in hooks.hyperparameters()
    )
    section = hooks.included("README.md", "Speed")
    assert section.strip()
    assert "## " not in section
    with pytest.raises(ValueError, match="no heading"):
        hooks.included("README.md", "No such heading")
    text = "[a](../experiments/x.py) [b](tour.md#look) [c](https://example.org) ![d](pictures/d.png)"
    seen = hooks.with_links(text, "docs/index.md", "docs/index.md")
    assert seen == "a [b](tour.md#look) [c](https://example.org) ![d](pictures/d.png)"
    moved = hooks.with_links("[d](docs/tour.md) `e` [`f`](aelle/x.py)", "README.md", "docs/how-to/ray.md")
    assert moved == "[d](../tour.md) `e` `f`"
    table = "0.9 [0.8, 1.0]\n| a | **0.05 [-0.01, 0.10]** | +0.1 [+0.0, +0.2] |"
    assert hooks.stacked(table) == "0.9 [0.8, 1.0]\n| a | **0.05<br>[-0.01, 0.10]** | +0.1<br>[+0.0, +0.2] |"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. Warnings are errors: a dead link, a missing picture, an undocumented name."""
    pytest.importorskip("mkdocs", reason="needs the docs extra")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(target)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "NO_MKDOCS_2_WARNING": "1",
        "DISABLE_MKDOCS_2_WARNING": "true",
    }
    done = subprocess.run(
        [*command, "-f", "docs/site/mkdocs.yml"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


@pytest.mark.slow
def test_the_site_asks_nobody_for_anything(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    fetched = re.compile(r'<(?:script|link|img|iframe)[^>]+(?:src|href)="?((?:https?:)?//[^"\s>]+)')
    for page in pages:
        foreign = [u for u in fetched.findall(page.read_text("utf-8")) if "canonical" not in u]
        assert not foreign, f"{page.name} loads {foreign}"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(https?:)?//", sheet.read_text("utf-8")), sheet


@pytest.mark.slow
def test_the_site_holds_what_is_made_from_code(site):
    page = (site / "api" / "command-line.html").read_text("utf-8")
    assert all(f"aelle {name}" in page for name in cli.commands)
    assert "lyapunov_spectrum" in (site / "api" / "spectra.html").read_text("utf-8")
    assert "weight statistics" in (site / "results.html").read_text("utf-8")
    assert "prediction_weight_growth" in (site / "formats.html").read_text("utf-8")
