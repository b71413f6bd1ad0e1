"""What commands share: the app and its panels, options that mean the same everywhere, and the bar."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from typer import Option

READ, MAKE, TRAIN, SCORE = "Read", "Make", "Train", "Score"
app = typer.Typer(
    help="M3IT: load, make, mix, train, score. Start with: m3it list",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Repo = Annotated[
    str | None,
    Option(help="Hub id, folder or URL. Default: this folder where data/ holds rows, else MMInstruction/M3IT."),
]
Fields = Annotated[
    list[str] | None,
    Option(help="Where raw rows of a published repository keep a thing: inputs=question, outputs=..., images=..."),
]
Json = Annotated[bool, Option("--json", help="Print one JSON value.")]


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

    return iter(tqdm(items, description, total, leave, file=sys.stderr, disable=not sys.stderr.isatty()))
