"""One dataset to be mixed: where it lies, what its rows are called, what it weighs."""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from M3IT import public_url
from m3it.rows.instance import Instance


@dataclass(frozen=True)
class Part:
    """One data set of a mixture. `name`: a config of a repository in our layout, or the folder of another set.

    `convert` makes an Instance of a row whose shape we do not know. `license` counts where a mixture is to be of
    commercial use. `label` is what weights and tables call it: if not given the name, or that of the file or folder.
    """

    path: str
    name: str = ""
    split: str = "train"
    convert: Callable[[dict[str, Any]], Instance] | None = None
    license: str = ""
    revision: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            name = self.name or posixpath.basename(public_url(self.path).rstrip("/")).split(".")[0]
            object.__setattr__(self, "label", name)
