"""The page on spectra says what happens."""

import doctest
from pathlib import Path


def test_the_page_runs():
    page = Path(__file__).parents[1] / "docs" / "spectrum.md"
    results = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert results.attempted >= 20
    assert results.failed == 0
