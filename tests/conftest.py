"""How the tests share a machine: one core a test process, and slow tests first.

Small networks lose by more than one thread, and what a test starts (a command, a notebook) inherits that; a test
about several processes asks for them itself.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LOKY_MAX_CPU_COUNT"] = "1"

import pytest
import torch

torch.set_num_threads(1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With --dist loadgroup: every slow test goes where there is room, the others of a file stay together.

    Begun last, a slow test would keep one core busy while the others have nothing left to do.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    for item in items:
        if item.get_closest_marker("slow") is None and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
