"""What `squish train` and `squish evolve` have in common at a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def refuse_beside_resume(context: typer.Context) -> None:
    """A run that continues has its options already. Raises BadParameter on others."""
    for parameter in context.command.params:
        name = str(parameter.name)
        if name not in ("output", "resume") and given(context, name):
            raise typer.BadParameter(
                "not beside --resume: a run continues as it began", param_hint=parameter.opts[0]
            )


def given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


class Epochs:
    """How many epochs are done and how long the others will take, on stderr.

    A bar where somebody looks; elsewhere, if `lines`, a line an epoch.
    """

    def __init__(self, total: int, done: int, lines: bool) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("epoch"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # a file gets its lines, not the terminal
        )
        self._task = self._bar.add_task("", total=total, completed=done)
        self._lines = lines and not console.is_terminal
        self._total, self._done, self._first = total, done, done
        self._begin = time.monotonic()

    def __enter__(self) -> Epochs:
        """Shows the bar."""
        self._bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        """Removes it."""
        self._bar.stop()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        self._bar.advance(self._task)
        if self._lines:
            print(f"epoch {self._done} of {self._total}, {self.left:.0f} s left", file=sys.stderr)

    @property
    def left(self) -> float:
        """Seconds, if the others take as long as those since the beginning."""
        mean = (time.monotonic() - self._begin) / max(1, self._done - self._first)
        return mean * (self._total - self._done)


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C ends a run, which can continue: says so."""
    try:
        yield
    except KeyboardInterrupt:
        print("squish: stopped; --resume continues the run", file=sys.stderr)
        raise
