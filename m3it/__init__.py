"""The tool-kit of M3IT: load, make, mix, train, score. It begins with `from m3it import load_dataset`."""

from M3IT import CATALOGUE, LANGUAGES, M3IT
from m3it.load import load_dataset

__version__ = "0.1.0"
__all__ = ["CATALOGUE", "LANGUAGES", "M3IT", "load_dataset"]
