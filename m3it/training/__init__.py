"""Training on a mixture. Needs the extra `train`."""

from M3IT import M3ITError

try:
    import accelerate  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise M3ITError("Training needs PyTorch, transformers and accelerate: pip install 'm3it[train]'") from missing
