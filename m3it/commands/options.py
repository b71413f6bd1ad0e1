"""What commands share: the app and its panels, the options that mean the same everywhere, and the bar.

Only typer, and what is as light, is imported here and by the modules of the panels: a command imports what it needs
when it is called.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer import Exit, Option

from m3it import __version__
from m3it.work.terminal import printable

READ, MAKE, CURATE, TRAIN, SCORE = "Read", "Make", "Curate", "Train", "Score"
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
MOST = 10**9  # of what is counted and not held; what is held in memory has limits of its own: a number with a few
# digits too many is wrong usage, and brings no machine down
Repo = Annotated[
    str | None,
    Option(help="Hub id, folder or URL. Default: this folder where data/ holds rows, else MMInstruction/M3IT."),
]
Fields = Annotated[
    list[str] | None,
    Option(help="Where raw rows of a published repository keep a thing: inputs=question, outputs=..., images=..."),
]
Configs = Annotated[list[str] | None, Option("--config", help="Config name, may be repeated. Default: all.")]
Limit = Annotated[int | None, Option(help="At most so many rows, of each split or config.", min=1, max=MOST)]
License = Annotated[
    Literal["commercial"] | None,
    Option(help="Only what annotations and pictures both allow; pictures with licenses of their own row by row."),
]
OnError = Annotated[
    Literal["raise", "drop"], Option(help="drop: leave out rows that cannot be read, count and list them.")
]
Exclude = Annotated[
    Path | None, Option(help="Leave out the rows of this list: of m3it leaks or duplicates, or an id a line.")
]
Seed = Annotated[
    int, Option(help="What random choices are drawn from: the same seed, the same result.", min=0, max=2**32 - 1)
]
BatchSize = Annotated[int, Option(help="Rows at a time, on each device.", min=1, max=65_536)]
Workers = Annotated[int, Option(help="Processes.", min=1, max=1024)]
Cluster = Annotated[str | None, Option(help="Address of a Dask scheduler, instead of --workers.")]
BaseUrl = Annotated[str | None, Option(help="OpenAI-compatible server. Default: OpenAI's.")]
Parallel = Annotated[int, Option(help="Requests at a time, to a server.", min=1, max=4096)]
Prices = Annotated[tuple[float, float] | None, Option(help="Price of one million input and output tokens.")]
MaxCost = Annotated[float | None, Option(help="Stop before the request that may exceed it.")]
PicturesFrom = Annotated[
    str | None, Option("--repo", help="Where the pictures are. Default: where the predictions had them from.")
]
Ids = Annotated[
    list[str] | None,
    Option("--id", help="Only the row of this id, may be repeated; or those of a .txt file, an id a line."),
]
ReasoningTags = Annotated[
    list[str] | None,
    Option(help="Marks around a model's thoughts: think, [THINK], or two with a blank between. Default: the usual."),
]
ExtraBody = Annotated[
    str | None, Option(metavar="JSON", help="More fields of each request to a server, e.g. '{\"top_p\": 0.8}'.")
]
Port = Annotated[int, Option(help="Of 127.0.0.1; 0 for any that is free.", min=0, max=65535)]
Json = Annotated[bool, Option("--json", help="Print one JSON value.")]


def split_option(default: str) -> Any:
    """--split of a command that, where it is not given, takes what `default` says."""
    return Option(help="train, validation or test.", show_default=default)


def print_version(asked: bool) -> None:
    """Print what is installed, and end."""
    if asked:
        typer.echo(f"m3it {__version__}")
        raise Exit


@app.callback()
def m3it(
    version: Annotated[
        bool, Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """M3IT: load, make, mix, train, score. Start with: m3it list"""


def say(text: Any, err: bool = False) -> None:
    """Print a line, to stdout or stderr: all that a command says goes through here, since rows, names of files and what
    servers answer are other people's."""
    typer.echo(printable(str(text)), err=err)


def as_ids(given: list[str] | None) -> frozenset[str] | None:
    """What --id says: the ids of rows; None for all rows."""
    if not given:
        return None
    from m3it.work.folder import text_of

    files = [text for text in given if text.endswith(".txt") and os.path.isfile(text)]
    listed = {line.strip() for file in files for line in text_of(file).split("\n") if line.strip()}
    return frozenset({text for text in given if text not in files} | listed)


def default_repo(repo: str | None) -> str:
    """What --repo stands for where it is not given."""
    return repo or ("." if holds_rows() else "MMInstruction/M3IT")


def holds_rows() -> bool:
    """Whether this folder is a repository of any age: its data/ may be anything else's."""
    from M3IT import M3IT, Repository, find_shards
    from m3it.reading.layouts import layout

    here = Repository(".") if os.path.isdir("data") else None
    return here is not None and (bool(find_shards(here)) or layout(here) is not M3IT)


def as_fields(given: list[str] | None) -> dict[str, str] | None:
    """What --fields says: the field of a raw row that holds each thing."""
    if wrong := [text for text in given or () if "=" not in text]:
        raise typer.BadParameter(f"--fields {wrong[0]}: expected e.g. inputs=question")
    return dict(text.split("=", 1) for text in given) if given else None


def as_extra_body(given: str | None) -> dict[str, Any] | None:
    """What --extra-body says."""
    try:
        found = json.loads(given) if given else None
    except ValueError as error:
        raise typer.BadParameter(f"--extra-body {given}: expected a JSON object, {error}") from None
    if found is not None and not isinstance(found, dict):
        raise typer.BadParameter(f"--extra-body {given}: expected a JSON object")
    return found


def as_drops(drops: Mapping[str, int]) -> str:
    """What is added to a line about rows: how many were dropped, by reason."""
    return "".join(f", {number} dropped: {reason}" for reason, number in drops.items())


def as_settings(kind: type, given: Mapping[str, Any]) -> Any:
    """A dataclass made of those of the given options that have the names of its fields."""
    return kind(**{field.name: given[field.name] for field in fields(kind) if field.name in given})


def as_bytes(size: str) -> int:
    """Bytes of a size such as 400MB or 1.5GB."""
    units = {"KB": 1e3, "MB": 1e6, "GB": 1e9}
    try:
        num_bytes = int(float(size[:-2]) * units[size[-2:].upper()])
        if num_bytes < 1:
            raise ValueError
        return num_bytes
    except (KeyError, ValueError, OverflowError):
        raise typer.BadParameter(f"--shard-size {size}: expected e.g. 400MB or 1.5GB") from None


def progress(items: Iterable[Any], description: str, total: int | None = None, leave: bool = True) -> Iterator[Any]:
    """The items, with a bar on stderr in a terminal, which stays there unless it is one of many."""
    from tqdm import tqdm

    return iter(tqdm(items, printable(description), total, leave, file=sys.stderr, disable=not sys.stderr.isatty()))
