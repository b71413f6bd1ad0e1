"""Models, and what turns rows into their tensors. Needs the extra `train`."""

from M3IT import M3ITError

try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise M3ITError("Models need PyTorch and transformers: pip install 'm3it[train]'") from missing
