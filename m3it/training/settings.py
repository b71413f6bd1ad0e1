"""How to train: every choice that a run has, and what is taken where none is made."""

import math
from dataclasses import dataclass

RATES = {"tiny": 1e-3, "lora": 1e-4, "whole": 2e-5}  # learning rates where none is given


@dataclass(frozen=True)
class Settings:
    """How to train. `batch_size` rows on each device at a time, `accumulation` times a step; `max_steps` instead of
    `epochs`. `max_length`: tokens of a row, None for what the model takes. `pack`, `share_pictures`: as for a
    `Collator`. `bf16`: None for wherever a GPU has it."""

    batch_size: int = 16
    accumulation: int = 1
    epochs: float = 1.0
    max_steps: int | None = None
    learning_rate: float | None = None
    weight_decay: float = 0.05
    warmup: float = 0.05
    lora: int = 0
    freeze: tuple[str, ...] | None = None
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    max_length: int | None = None
    max_side_pixels: int | None = None
    pack: bool = False
    share_pictures: bool = False
    evaluate_every: int = 500
    save_every: int = 500
    log_every: int = 10
    log_rows: bool = False
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "accumulation": 1, "max_steps": 1, "lora": 0, "max_length": 1, "max_side_pixels": 1}
        least |= {"evaluate_every": 1, "save_every": 1, "log_every": 1, "workers": 0}
        for name, number in least.items():
            if (value := getattr(self, name)) is not None and value < number:
                raise ValueError(f"{name}={value}: expected {number} or more")
        for name in ("epochs", "learning_rate"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise ValueError(f"{name}={value}: expected a number above 0")
