"""The tool-kit of M3IT: load, make, mix, train, score. It begins with `from m3it import load_dataset`."""

from typing import Any

from M3IT import CATALOGUE, LANGUAGES, M3IT
from m3it.load import load_dataset

__version__ = "0.1.0"
__all__ = ["CATALOGUE", "LANGUAGES", "M3IT", "Mixture", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name == "Mixture":  # needs torch: imported when it is asked for
        from m3it.mixture import Mixture

        return Mixture
    raise AttributeError(f"module 'm3it' has no attribute {name!r}")
