"""Training on a mixture. Needs the extra `train`."""

from M3IT import M3ITError
from m3it.work.extras import install

try:
    import accelerate  # noqa: F401
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise M3ITError(f"Training needs PyTorch, transformers and accelerate: {install('train')}") from missing
