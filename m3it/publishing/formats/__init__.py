"""What other tools read of a release: `m3it release --format NAME`, a module a format.

A module says what Format asks for. A new format is one such file, and one row in FORMATS. The rows that its writers get
have `messages`, the conversation in our form (m3it/rows/messages.py), beside their texts, `files`, `row_id` and `meta`.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from m3it.publishing.columns import FileKind
from m3it.publishing.formats import llava, messages, webdataset


class Format(Protocol):
    """What a format's module holds: its kinds of file by name, the first of which the config consists of; whether plain
    `datasets` reads them as configs, which then lie below data/, or they lie in a folder of the config's name; two
    texts of the card, what is in the files and how to load them (with the names {config} and {split}); the paths of the
    further files that a file of the first kind names, or None where there are none (they take a folder on a disk); the
    files that its tools look for beside, name -> text."""

    KINDS: dict[str, FileKind]
    HAS_CONFIGS: bool
    NOTE: str
    SNIPPET: str

    @property
    def further(self) -> Callable[[Any], Iterable[str]] | None: ...

    def beside(self, configs: dict[str, dict[str, Any]]) -> dict[str, str]: ...


FORMATS: dict[str, Format] = {"messages": messages, "llava": llava, "webdataset": webdataset}
FURTHER_KINDS = {kind for format in FORMATS.values() for kind in [*format.KINDS][1:]}  # the same rows once more
