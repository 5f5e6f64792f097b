"""The group of commands, and how an error ends it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import click

from aelle.cli.check import check
from aelle.cli.collect import collect
from aelle.cli.doctor import doctor
from aelle.cli.evaluate import evaluate
from aelle.cli.explore import explore
from aelle.cli.export import export
from aelle.cli.import_ import import_
from aelle.cli.init import init
from aelle.cli.output import make_lenient, tell
from aelle.cli.predict import predict
from aelle.cli.run import run
from aelle.cli.spectrum import spectrum
from aelle.cli.status import status
from aelle.cli.train import train


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="aelle")
def cli() -> None:
    """Lyapunov spectra of recurrent networks: collect, train, evaluate, predict, explore.

    An experiment is one TOML file; its results are one folder, artifacts/<name>. Every stage reads only
    the files of the stages before it and can be run again alone.
    """


for _command in (
    init,
    check,
    collect,
    train,
    evaluate,
    predict,
    explore,
    export,
    import_,
    status,
    run,
    spectrum,
    doctor,
):
    cli.add_command(_command)


_PRINT_ALONE = frozenset({"check", "doctor", "predict", "spectrum", "status"})


class _Ended(KeyboardInterrupt):
    """A signal that asks the process to end, as Ctrl-C does: batch systems send SIGTERM when time is up."""

    def __init__(self, number: int) -> None:
        self.number = number


def main() -> None:
    """Run the command line; what goes wrong by the user's doing is one line and exit code 2."""
    for number in (signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else (signal.SIGTERM,):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores SIGHUP
            signal.signal(number, _end)
    out = make_lenient()
    code = _guarded(cli)
    if sys.stdout is not None:
        sys.stdout.flush()
    if out is not None and out.reason:
        said = f"what it says could not be printed: {out.reason}"
        # What the other commands print is in the files they write.
        code = _complain(said, 2 if code == 0 and _PRINT_ALONE.intersection(sys.argv[1:2]) else code)
    sys.exit(code)


def _end(number: int, frame: object) -> None:
    raise _Ended(number)


def _guarded(command: Callable[..., Any]) -> int:
    if os.environ.get("AELLE_DEBUG"):
        return command(standalone_mode=False) or 0
    try:
        return command(standalone_mode=False) or 0
    except (click.exceptions.Abort, KeyboardInterrupt) as error:  # click turns the latter into the former
        cause = error.__cause__ or error
        number = cause.number if isinstance(cause, _Ended) else signal.SIGINT
        return _complain("interrupted; the same command resumes", 128 + number)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        # Every error a user can cause is one of these, with its own sentence; AELLE_DEBUG=1 shows where.
        return _complain(" ".join(str(error).split()) or type(error).__name__, 2)
    except MemoryError:
        return _complain("memory does not suffice", 2)


def _complain(message: str, code: int) -> int:
    tell(f"aelle: {message}", err=True)
    return code
