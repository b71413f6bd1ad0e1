"""Models, and what turns rows into their tensors. Needs the extra `train`."""

from M3IT import M3ITError
from m3it.work.extras import install

try:
    import torch  # noqa: F401
    import transformers  # noqa: F401
except ImportError as missing:
    raise M3ITError(f"Models need PyTorch and transformers: {install('train')}") from missing
