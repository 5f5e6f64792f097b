"""What the pages take from the code and from files outside docs/, so that nothing is copied by hand.

    <!-- include experiments/LOG.md -->          a file, without its title
    <!-- include CHANGELOG.md: Unreleased -->    the section under a heading
    <!-- default experiment -->                  every setting of an experiment with its default
    <!-- hyperparameters -->                     every hyperparameter: what it is, what it may be, its default
    <!-- command line -->                        the help of every command

Links out of docs/ (to files of the repository) become plain names: the site does not hold those files.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_DIRECTIVE = re.compile(
    r"^<!-- (include|default experiment|hyperparameters|command line)(?: ([^:\s]+)(?:: (.+?))?)? -->$", re.M
)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]+)(#[^)]*)?\)")
_INTERVAL = re.compile(r"(?<=\d) \[([-+]?\d+\.\d+), ([-+]?\d+\.\d+)\]")
_PICTURE = re.compile(r"(!\[[^\]]*\])\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the directives of a page, and take back links that lead out of docs/."""
    source = posixpath.join("docs", page.file.src_uri)
    filled = _DIRECTIVE.sub(lambda found: _filled(found, source), markdown)
    return with_links(stacked(filled), source, source)


def _filled(directive: re.Match[str], page: str) -> str:
    if directive[1] == "default experiment":
        return default_experiment()
    if directive[1] == "hyperparameters":
        return hyperparameters()
    if directive[1] == "command line":
        return command_line()
    return with_links(included(directive[2], directive[3]), directive[2], page)


def included(file: str, heading: str | None = None) -> str:
    """A file of the repository without its title, or one section of it without its heading.

    Raises:
        ValueError: where there is no such heading.
    """
    text = (ROOT / file).read_text("utf-8")
    if heading is None:
        return re.sub(r"\A# .*\n", "", text)
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^\1 |\Z)", text, re.M | re.S)
    if found is None:
        raise ValueError(f"{file} has no heading {heading!r}")
    return re.sub(r"^<!--.*?-->\n", "", found[2], flags=re.M)


def stacked(markdown: str) -> str:
    """Put the intervals in tables, `0.92 [0.88, 0.94]`, below their values: five such columns are too wide for a page."""
    lines = markdown.split("\n")
    return "\n".join(_INTERVAL.sub(r"<br>[\1, \2]", line) if line.startswith("|") else line for line in lines)


def with_links(markdown: str, source: str, page: str) -> str:
    """Rewrite links of a file for the page that shows it: within docs/ by their path, others as plain names."""

    def target(path: str) -> str | None:
        """The path as seen from the page; None where it leads out of docs/."""
        if "://" in path or path.startswith("mailto:"):
            return path
        full = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        inside = full.startswith("docs/")
        return posixpath.relpath(full, posixpath.dirname(page)) if inside else None

    def link(found: re.Match[str]) -> str:
        path = target(found[2])
        if path is None:
            return found[1] if "`" in found[1] or not re.search(r"[/.]", found[1]) else f"`{found[1]}`"
        return f"[{found[1]}]({path}{found[3] or ''})"

    def picture(found: re.Match[str]) -> str:
        path = target(found[2])
        return f"{found[1]}({path})" if path else ""

    return _PICTURE.sub(picture, _LINK.sub(link, markdown))


def default_experiment() -> str:
    """Every setting of an experiment with its default, as TOML."""
    from aelle.config import dump_experiment, parse_experiment

    experiment = parse_experiment({"name": "mine", "task": {"name": "digits"}})
    return f'```toml title="mine.toml, resolved"\n{dump_experiment(experiment)}```\n'


def hyperparameters() -> str:
    """A table of the hyperparameters."""
    from aelle.hyperparameters import HYPERPARAMETERS

    lines = ["| name | what it is | what it may be | in | default |", "|---|---|---|---|---|"]
    for h in HYPERPARAMETERS:
        default = "" if h.default is None else f"`{h.default}`"
        several = ", a list or a distribution" if h.searched else ""
        lines.append(f"| `{h.name}` | {h.label} | {h.allowed}{several} | `[{h.section}]` | {default} |")
    return "\n".join(lines) + "\n"


def command_line() -> str:
    """The help of every command."""
    import click

    from aelle.cli import cli

    parts = []
    for name, command in cli.commands.items():
        context = click.Context(command, info_name=f"aelle {name}", max_content_width=96, terminal_width=96)
        parts.append(f"## aelle {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
