"""The tool-kit of M3IT: load, make, mix, train, score. It begins with `from m3it import load_dataset`."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

# M3IT.py beside this package, whatever the working folder holds: a clone is a folder M3IT, a published repository has
# an M3IT.py of its own, and both would come first.
_BESIDE = Path(__file__).resolve().parents[1] / "M3IT.py"
if Path(getattr(sys.modules.get("M3IT"), "__file__", None) or "").resolve() != _BESIDE:
    _spec = importlib.util.spec_from_file_location("M3IT", _BESIDE)
    assert _spec and _spec.loader
    sys.modules["M3IT"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["M3IT"])

from M3IT import CATALOGUE, LANGUAGES, M3IT, M3ITError
from m3it.reading.load import load_builder, load_dataset

__version__ = "0.1.0"
__all__ = [
    "CATALOGUE",
    "LANGUAGES",
    "M3IT",
    "Collator",
    "M3ITError",
    "Mixture",
    "Part",
    "__version__",
    "load_builder",
    "load_dataset",
]
_LAZY = {  # these need torch, or what needs it: imported when they are asked for
    "Collator": "m3it.models.collator",
    "Mixture": "m3it.mixing.mixture",
    "Part": "m3it.mixing.part",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'm3it' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
