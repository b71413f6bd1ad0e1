"""The command line. Results go to stdout, progress to stderr."""

import dis
import io
import logging
import os
import re
import sys
import traceback
import typing
import warnings
from pathlib import Path

import typer

import m3it

# isort: off
# Each adds its commands to the app: in the order of the help.
from m3it.commands import read, make, publish, curate, train, score  # noqa: F401

# isort: on
from m3it.commands.options import app, say
from m3it.work.terminal import printable

OURS = Path(__file__).parent


def main() -> None:
    """Run the command line: a known error is one sentence and exit 1, wrong usage 2, Ctrl-C 130; an error that is ours
    asks to be reported. M3IT_DEBUG=1 shows all tracebacks."""
    warnings.formatwarning = lambda message, *_, **__: f"{printable(str(message))}\n"  # not the line of code
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # rows are in every script, the terminal's code page is not
            stream.reconfigure(encoding="utf-8")
    if logging.lastResort:
        logging.lastResort.setFormatter(Printable())
    try:
        refuse_halves(sys.argv[1:])
        refuse_urls(sys.argv[1:])
        code = app(prog_name="m3it", standalone_mode=False)  # of typer.Exit; None for a command that ran through
        sys.stdout.flush()
        sys.exit(code)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except (BrokenPipeError, SystemExit) as end:
        if not isinstance(end, BrokenPipeError) and not isinstance(end.__context__, BrokenPipeError):
            raise
        to_nowhere()  # the reader has had enough (`m3it list | head -1`), which typer takes for an error
        sys.exit(0)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "exit_code"):
            if hasattr(error, "message"):
                error.message = printable(error.message)  # of names of files, too
            error.show()  # type: ignore[attr-defined]
            sys.exit(error.exit_code)
        if os.environ.get("M3IT_DEBUG"):
            raise
        if not is_known(error):
            traceback.print_exception(error)
            say("This is an error of m3it, not of what it was given: please report it with the lines above.", err=True)
        else:
            from M3IT import public_url

            say(" ".join(public_url(sentence(error)).split("\n")), err=True)
        try:
            sys.stdout.flush()
        except OSError:  # a full disk: what is still in the buffer goes nowhere, too
            to_nowhere()
        sys.exit(1)


def sentence(error: Exception) -> str:
    """What an error says: of the machine's own, the file and what is wrong with it, without a number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return without_numbers(str(error))


def without_numbers(text: str) -> str:
    """Without the system's numbers for what it says in words."""
    return re.sub(r"\[Errno -?\d+\] ", "", text)


def to_nowhere() -> None:
    """Let what stdout still has in its buffer go nowhere, else Python would fail on it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def refuse_halves(words: list[str]) -> None:
    """Exit 2 for a word with NUL, or with bytes that are no UTF-8, which no JSON and few libraries can write."""
    for word in words:
        if "\0" in word or not word.isascii() and any("\ud800" <= letter <= "\udfff" for letter in word):
            say(f"{word[:200]!r}: expected UTF-8 without NUL. Rename what is called so.", err=True)
            sys.exit(2)


def refuse_urls(words: list[str]) -> None:
    """Exit 2 for a URL where a command writes to this machine alone: it would make a folder called s3: here."""
    if not any("://" in word for word in words):
        return
    functions = {c.name or c.callback.__name__: c.callback for c in app.registered_commands if c.callback}
    hints = typing.get_type_hints(functions[words[0]]) if words[0] in functions else {}
    flags = {f"--{name.replace('_', '-')}" for name, hint in hints.items() if Path in (hint, *typing.get_args(hint))}
    pairs = [*zip(words, words[1:], strict=False), *(word.split("=", 1) for word in words if "=" in word)]
    for flag, value in pairs:
        if flag in flags and "://" in value:
            told = "expected a path on this machine, found a URL. Name a folder, and copy it then."
            say(f"{flag} {value}: {told}", err=True)
            sys.exit(2)


def is_known(error: Exception) -> bool:
    """Whether an error is said to the user: ours, one of the machine (files, network), or a ValueError that a `raise`
    of our own code made of an argument. Any other ValueError (of `int`, of a JSON parser) we should have foreseen."""
    # Asked last: m3it.M3ITError brings `datasets`, which wrong usage need not wait for.
    if isinstance(error, (OSError, m3it.M3ITError)):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    if not isinstance(error, ValueError) or not frames:
        return False
    code, at = frames[-1][0].f_code, frames[-1][0].f_lasti
    where = Path(code.co_filename)
    return (OURS in where.parents or where == m3it.Beside.path) and dis.opname[code.co_code[at]] == "RAISE_VARARGS"


class Printable(logging.Formatter):
    """What is logged, without characters that steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(without_numbers(super().format(record)))
