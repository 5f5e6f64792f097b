"""The command line: collect → train → predict → explore, or `run` for all four in order. One command a file."""

from aelle.cli.entry import cli, main

__all__ = ["cli", "main"]
