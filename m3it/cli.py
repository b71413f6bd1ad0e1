"""The command line. Results go to stdout, progress to stderr."""

import os
import sys
import warnings

import typer

# isort: off
# Each adds its commands to the app: in the order of the help.
from m3it.commands import read, make, train, score  # noqa: F401

# isort: on
from m3it.commands.options import app
from m3it.rows.instance import M3ITError


def main() -> None:
    """Run the command line: a known error is one sentence and exit 1, wrong usage 2, Ctrl-C 130; M3IT_DEBUG=1 shows
    tracebacks."""
    warnings.formatwarning = lambda message, *_, **__: f"{message}\n"  # the sentence, not the line of code
    try:
        code = app(standalone_mode=False)  # the exit code of typer.Exit, None for a command that ran through
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
    except (M3ITError, ValueError, OSError) as error:
        if os.environ.get("M3IT_DEBUG"):
            raise
        typer.echo(str(error), err=True)
        sys.exit(1)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            error.show()  # type: ignore[attr-defined]
            sys.exit(error.exit_code)
        raise


if __name__ == "__main__":
    main()
