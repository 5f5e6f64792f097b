"""Reading files that somebody else may have put there."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_plain(path: Path) -> tuple[bytes, os.stat_result]:
    """Read a plain file whole; return its content, and what the system says of it.

    Raises:
        OSError: where it is missing or refused; where it is a folder, or a pipe or device, whose end may never come;
            and where it is larger than memory. `strerror` says which.
    """
    # Without O_NONBLOCK, to open a pipe is to wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as stream:  # closes it; refuses a folder
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "It is no plain file (a pipe or a device)", str(path))
        try:
            # Files of the system such as /proc/kmsg have no size, and may have no end.
            return stream.read(status.st_size), status
        except (MemoryError, OverflowError):
            raise OSError(errno.ENOMEM, "It is larger than memory", str(path)) from None
