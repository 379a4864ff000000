"""The application: commands, global options, and what becomes of errors."""

import io
import os
import sys
from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated

import typer

from squishnative import __version__
from squishnative.cli import (
    bench,
    convert,
    demo,
    evolve,
    export,
    infer,
    inspect,
    nets,
    quantise,
    report,
    train,
)
from squishnative.cli.messages import one_line

# Help stays plain text: it is read through pipes and over serial lines of boards too.
app = typer.Typer(
    name="squish",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
_debug = False
# Errors whose messages are meant for callers; of others a person wants to know the type too.
_WORDED = (OSError, ValueError, TypeError, RuntimeError, ImportError, MemoryError)


def _help(command: Callable[..., None]) -> str:
    """The docstring, with the mark that keeps its examples from being wrapped like prose."""
    return cleandoc(command.__doc__ or "").replace("\n\nsquish ", "\n\n\b\nsquish ")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"squish {__version__}")
        raise typer.Exit


def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Runs, makes and examines .squish files: SqueezeNet-family image classifiers.

    squish demo                            from data to a net on the engine
    squish convert net.pth -o net.squish   a checkpoint to a .squish file
    squish infer net.squish photo.jpg      labels of photos
    """
    global _debug
    _debug = debug
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)  # said here because click's own exit code depends on its version


app.callback(invoke_without_command=True, help=_help(options))(options)
for _command in (
    convert.convert,
    quantise.quantise,
    export.export,
    infer.infer,
    inspect.inspect,
    bench.bench,
    demo.demo,
    train.train,
    evolve.evolve,
    report.report,
    nets.nets,
):
    app.command(_command.__name__, help=_help(_command))(_command)


def main() -> None:
    """Runs the command line.

    Exit code: 0, 1 where something failed, 2 where the command line is none (an unknown option, a
    number out of its range), 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # For names of files and classes that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:
        # The reader, say `head`, has left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if _debug:
            raise
        text = one_line(error)
        if not isinstance(error, _WORDED):
            text = f"{type(error).__name__}: {text} (squish --debug ... shows where)"
        print(f"squish: error: {text}", file=sys.stderr)
        sys.exit(1)
