"""Contract tests for one's own cells and tasks: call them in a test, they raise AssertionError.

    from aelle.testing import check_cell

    def test_my_cell():
        check_cell(MyCell)

A failure is one sentence on the first thing that is wrong.
"""

from aelle.testing.cells import check_cell
from aelle.testing.tasks import check_task

__all__ = ["check_cell", "check_task"]
