"""The tool-kit of M3IT: load, make, mix, train, score. It begins with `from m3it import load_dataset`.

Nothing is imported before it is asked for: `datasets` takes a second and a half, PyTorch more.
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from M3IT import CATALOGUE, LANGUAGES, M3IT, M3ITError
    from m3it.mixing.mixture import Mixture
    from m3it.mixing.part import Part
    from m3it.models.collator import Collator
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
    "get_dataset_config_names",
    "get_dataset_split_names",
    "load_builder",
    "load_dataset",
    "load_dataset_builder",
]
_HOME = {  # name -> the module that it is imported from
    **dict.fromkeys(("CATALOGUE", "LANGUAGES", "M3IT", "M3ITError"), "M3IT"),
    **dict.fromkeys(("load_builder", "load_dataset", "load_dataset_builder"), "m3it.reading.load"),
    **dict.fromkeys(("get_dataset_config_names", "get_dataset_split_names"), "m3it.reading.load"),
    "Collator": "m3it.models.collator",
    "Mixture": "m3it.mixing.mixture",
    "Part": "m3it.mixing.part",
}


class Beside:
    """Finds M3IT.py beside this package, whatever the working folder holds: a clone is a folder M3IT, a published
    repository has an M3IT.py of its own, and both would come first."""

    path = Path(__file__).resolve().parents[1] / "M3IT.py"

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """How to import M3IT; None for any other module, which the finders after this one look for."""
        return importlib.util.spec_from_file_location(name, cls.path) if name == "M3IT" else None


sys.meta_path.insert(0, Beside)
if Path(getattr(sys.modules.get("M3IT"), "__file__", None) or "").resolve() != Beside.path:
    sys.modules.pop("M3IT", None)  # another one, imported before


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'm3it' has no attribute {name!r}")
    return globals().setdefault(name, getattr(importlib.import_module(_HOME[name]), name))


def __dir__() -> list[str]:
    return __all__
