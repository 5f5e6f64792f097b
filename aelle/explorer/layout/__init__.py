"""The page's parts: head, controls, map, and the views beside it. No behaviour (see `callbacks`)."""

from aelle.explorer.layout.controls import PATHS, column_options, epoch_marks
from aelle.explorer.layout.shell import facts_and_notes, headline_parts, page, shell, state_of
from aelle.explorer.layout.views import FIGURES, TABS, map_title

__all__ = [
    "FIGURES",
    "PATHS",
    "TABS",
    "column_options",
    "epoch_marks",
    "facts_and_notes",
    "headline_parts",
    "map_title",
    "page",
    "shell",
    "state_of",
]
