"""The command line. Results go to stdout, progress to stderr."""

import os
import sys
import warnings

import typer

import m3it

# isort: off
# Each adds its commands to the app: in the order of the help.
from m3it.commands import read, make, train, score  # noqa: F401

# isort: on
from m3it.commands.options import app


def main() -> None:
    """Run the command line: a known error is one sentence and exit 1, wrong usage 2, Ctrl-C 130; M3IT_DEBUG=1 shows
    tracebacks."""
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"  # the sentence, not the line of code
    try:
        code = app(prog_name="m3it", standalone_mode=False)  # of typer.Exit; None for a command that ran through
        sys.stdout.flush()
        sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (BrokenPipeError, SystemExit) as end:
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        # The reader has had enough (`m3it list | head -1`), which typer takes for an error. What is still in the
        # buffer goes nowhere, else Python would fail on it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(0)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            error.show()  # type: ignore[attr-defined]
            sys.exit(error.exit_code)
        # Asked last: m3it.M3ITError brings `datasets`, which wrong usage need not wait for.
        if os.environ.get("M3IT_DEBUG") or not isinstance(error, (ValueError, OSError, m3it.M3ITError)):
            raise
        from M3IT import public_url

        typer.echo(public_url(str(error)), err=True)
        sys.exit(1)
