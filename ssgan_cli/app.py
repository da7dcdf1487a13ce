"""The `ssgan` application: its commands, its exit codes, and the one place where errors become text.

Exit codes: 0 done; 1 an error that the user can mend; 2 wrong usage; 3 too many inputs failed; 130
interrupted; 143 terminated. A bug keeps its traceback and exits with 1.
"""

from __future__ import annotations

import ctypes
import os
import signal
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ssgan_cli.commands import (
    demo,
    doctor,
    edit,
    evaluate,
    generate,
    preprocess,
    synth,
    train,
    video,
    weights,
)
from ssgan_cli.console import print_error, print_warning
from ssgan_core import __version__
from ssgan_core.errors import SsganError

TERMINATED = 128 + signal.SIGTERM
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h
_RESUMABLE = ("synth", "preprocess", "train")


class _Handler(TyperGroup):
    """Runs a command and turns what the user can mend, and interruptions, into a line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SsganError as error:
            if ctx.params["debug"]:
                raise
            print_error(error)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interruption:
            print_warning(_stopped("interrupted", ctx.invoked_subcommand))
            raise typer.Exit(130) from interruption
        except SystemExit as stop:
            if stop.code == TERMINATED:
                print_warning(_stopped("terminated", ctx.invoked_subcommand))
            raise


app = typer.Typer(
    name="ssgan",
    cls=_Handler,
    help="3D-aware compositional portraits: data, training, synthesis, part edits, video and evaluation.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo.demo)
app.command("synth")(synth.synth)
app.command("preprocess")(preprocess.preprocess)
app.command("train")(train.train)
app.command("generate")(generate.generate)
app.add_typer(edit.app, name="edit")
app.command("video")(video.video)
app.command("evaluate")(evaluate.evaluate)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        print(f"ssgan {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors, too.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
) -> None:
    """Global options stand before the command: `ssgan --debug generate ...`."""


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _terminate)
    # Read by OpenMP when torch is imported, later. Waiting threads that spin instead of sleeping make torch
    # tens of times slower as soon as anything else wants the processor, and gain little when nothing does.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Read by torch at its first large allocation: pages of 2 MB instead of 4 kB where the kernel grants them.
    # Activations are gone and wanted again at every layer, and an eighth of a training step went into fresh pages.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    _keep_freed_memory()
    warnings.showwarning = _show_warning
    app()


def _keep_freed_memory() -> None:
    """Have malloc keep what is freed for the next allocation, however large, up to 2 GiB; where it knows how.

    Else glibc gives activations back at every layer and the kernel clears their pages anew: up to a third of a step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return
    for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1)):
        mallopt(option, value)


def _terminate(number: int, frame: object) -> None:
    """SIGTERM unwinds the stack like any exit, so that files are closed and temporaries removed."""
    raise SystemExit(TERMINATED)


def _show_warning(message: Warning | str, *where: object, **more: object) -> None:
    """A warning is a line for the user, without the place in the code that it comes from."""
    print_warning(f"warning: {message}")


def _stopped(how: str, command: str | None) -> str:
    return f"{how}; run the same command again to continue" if command in _RESUMABLE else how
