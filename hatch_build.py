"""Compiles aelle/kernels/kernels.c where there is a C compiler; without one the package runs on torch alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where hatchling need not be installed
    BuildHookInterface = object

FOLDER = Path(__file__).parent / "aelle" / "kernels"
FLAGS = (
    "-O3",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-shared",
    "-fPIC",
)


def compile_kernels() -> Path | None:
    """The library beside its source; None where no compiler makes it, with one line that says so."""
    library = FOLDER / f"kernels-{sysconfig.get_platform()}.so"
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        print("aelle: no C compiler; small networks will take longer", file=sys.stderr)
        return None
    partial = library.with_suffix(f".{os.getpid()}.partial")
    command = [*compiler.split(), *FLAGS, "-o", str(partial), str(FOLDER / "kernels.c"), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        print(f"aelle: {compiler} failed; small networks will take longer\n{done.stderr}", file=sys.stderr)
        partial.unlink(missing_ok=True)
        return None
    partial.replace(library)
    return library


class CompileKernels(BuildHookInterface):
    """Adds the library to a wheel, which is then one of this platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it builds a wheel or an editable install."""
        library = compile_kernels()
        if (
            library is not None and version != "editable"
        ):  # an editable install reads the source folder itself
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
            build_data["force_include"][str(library)] = f"aelle/kernels/{library.name}"


if __name__ == "__main__":
    sys.exit(compile_kernels() is None)
