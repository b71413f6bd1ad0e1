"""The tool-kit of M3IT: load, make, mix, train, score. It begins with `from m3it import load_dataset`."""

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

from M3IT import CATALOGUE, LANGUAGES, M3IT
from m3it.reading.load import load_dataset

__version__ = "0.1.0"
__all__ = ["CATALOGUE", "LANGUAGES", "M3IT", "Mixture", "load_dataset"]


def __getattr__(name: str) -> Any:
    if name == "Mixture":  # needs torch: imported when it is asked for
        from m3it.mixing.mixture import Mixture

        return Mixture
    raise AttributeError(f"module 'm3it' has no attribute {name!r}")
