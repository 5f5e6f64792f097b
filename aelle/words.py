"""Words that error messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def hint(word: str, known: Iterable[str]) -> str:
    """Say which known word may have been meant, or which there are."""
    known = list(known)
    close = difflib.get_close_matches(word[:_LONGEST], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known)) or 'none'}"


_LONGEST = 120  # characters of something foreign that a message repeats


def shown(value: object) -> str:
    """What somebody wrote, as a message may repeat it: as Python writes it, on one line, and short."""
    words = printable(repr(value))
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 20]}… ({len(words):,} characters)"


def printable(text: str) -> str:
    """The text with a question mark for what a terminal would obey instead of show; line breaks stay.

    Names come from files of others, and some of what is in them moves the cursor or changes what was written before.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\n" else "?" for character in text)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    return printable((str(error).splitlines() or [type(error).__name__])[0])
