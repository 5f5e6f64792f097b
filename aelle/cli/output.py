"""What commands print: nothing that a terminal would obey, and no command fails because it cannot be printed."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

import click

from aelle.words import printable


def tell(words: object, err: bool = False) -> None:
    """Print words, of which some may come from files of others."""
    click.echo(printable(str(words)), err=err)


class Lenient(io.RawIOBase):
    """Writes to a stream of the system as long as that takes anything; `reason` says why it no longer does."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self.reason = descriptor, ""
        self._gone = False

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The stream's number in the system."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, content: Any) -> int:
        """Write, or pass over what cannot be written."""
        if not self._gone:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:
                raise
            except OSError as error:
                self._gone = True
                if error.errno != errno.EPIPE:  # whoever reads a pipe may stop when they have seen enough
                    self.reason = error.strerror or str(error)
        return len(content)


def lenient(stream: TextIO | None) -> tuple[TextIO | None, Lenient | None]:
    """A stream in whose place no command fails, however full the disk and whatever letters a terminal lacks."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream, None
    try:
        raw = Lenient(stream.fileno())
    except (OSError, ValueError):  # a stream of Python alone
        return stream, None
    with suppress(OSError, ValueError):
        stream.flush()
    buffered = io.BufferedWriter(raw)
    made = io.TextIOWrapper(
        buffered, stream.encoding, "replace", line_buffering=stream.line_buffering, write_through=False
    )
    return cast(TextIO, made), raw


def make_lenient() -> Lenient | None:
    """Put lenient streams in the place of this process's; return that of its standard output."""
    sys.stdout, out = lenient(sys.stdout)
    sys.stderr, _ = lenient(sys.stderr)
    return out
