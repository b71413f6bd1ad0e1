"""What stands in a source file of text: JSON, JSON Lines, tables, lines. Errors name the file and what to do."""

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

from m3it.rows.instance import SourceError
from m3it.sources.kit.files import SourcePath

BETWEEN = re.compile(r"[\s,:]*")  # what stands between the values of a JSON list or object
AFTER = re.compile(r"\s*[,:\]}]")  # what tells that a value is at its end
NUM_CHARACTERS = 1 << 20  # of a piece of a large JSON file
OPENING_CHARACTERS = 1 << 10  # the most that what opens a list of values takes
MAX_FIELD_CHARACTERS = (1 << 31) - 1  # of a table's field: the most that Python takes on every system
FIELD_LIMIT = threading.Lock()  # held while the limit of the whole process is another one


def read_json(path: SourcePath) -> Any:
    """The one JSON value of a file."""
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise SourceError(f"{path}: expected one JSON value, {error}. Download it again.") from error


def read_values(path: SourcePath, opening: str) -> Iterator[Any]:
    """The JSON values from the bracket that the pattern `opening` ends in to the one that closes it, one at a time.

    An object gives key, value, key, value. The file is read piece by piece: at once, one of a gigabyte would take ten.
    """
    decode, source, place = json.JSONDecoder().raw_decode, "", -1  # -1: the opening is not found yet
    try:
        with io.TextIOWrapper(path.open(), "utf-8-sig") as file:
            while piece := file.read(max(NUM_CHARACTERS, len(source))):
                source += piece
                if place < 0 and (start := re.search(opening, source)):
                    place = start.end()
                while 0 <= place < len(source):
                    place = BETWEEN.match(source, place).end()  # type: ignore[union-attr]
                    if source[place : place + 1] in ("]", "}"):
                        return
                    try:
                        value, stop = decode(source, place)
                    except json.JSONDecodeError:
                        break  # it goes on in the next piece
                    if not AFTER.match(source, stop):
                        break  # so may a number
                    yield value
                    place = stop
                source, place = (source[place:], 0) if place >= 0 else (source[-OPENING_CHARACTERS:], place)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        raise SourceError(f"{path}: expected UTF-8 text ({error}). Download it again.") from error
    found = "the file breaks off or is no JSON" if place >= 0 else "there is none"
    raise SourceError(f"{path}: expected JSON with {opening!r}; {found}. Download it again.")


def read_lines(path: SourcePath) -> list[str]:
    """The lines of a text file without their ends; a last empty line is none. Only \\n and \\r\\n end a line."""
    lines = path.read_text().split("\n")
    return [line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def read_jsonl(path: SourcePath) -> Iterator[Any]:
    """The JSON value of each line; blank lines are skipped."""
    for number, line in enumerate(read_lines(path), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise SourceError(f"{path}:{number}: expected a JSON value, {error}. Download it again.") from error


def read_csv(path: SourcePath, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a table with a header, each as column -> text; a field may be as long as an article."""
    rows = csv.DictReader(io.StringIO(path.read_text(), newline=""), delimiter=delimiter)
    while True:
        with FIELD_LIMIT:
            limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # of the whole process, so given back before others run
            try:
                row = next(rows, None)
            finally:
                csv.field_size_limit(limit)
        if row is None:
            return
        yield row
