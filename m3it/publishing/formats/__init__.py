"""What other tools read of a release: `m3it release --format NAME`, a module a format.

A module says what Format asks for. A new format is one such file, and one row in FORMATS.
"""

from typing import Any, Protocol

from m3it.publishing.columns import FileKind
from m3it.publishing.formats import messages


class Format(Protocol):
    """What a format's module holds: its kind of file; two texts of the card, what is in the files and how to load them
    (with the names {config} and {split}); the files that its tools look for beside data/, name -> text."""

    KIND: FileKind
    NOTE: str
    SNIPPET: str

    def beside(self, configs: dict[str, dict[str, Any]]) -> dict[str, str]: ...


FORMATS: dict[str, Format] = {"messages": messages}
