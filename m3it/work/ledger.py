"""What requests have cost and may yet cost, counted by the threads of a process or by all processes that share a file.

In: what a request may cost, before it is sent, and what it did cost.  Out: whether the limit leaves room for it.
"""

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock


class Spent(NamedTuple):
    """What was paid for so many replies, and what is set aside for so many requests that are under way."""

    num_asked: int = 0
    cost: float = 0.0
    num_reserved: int = 0
    reserved: float = 0.0


class Ledger:
    """Sums of Spent: in this object, or in a small file under a lock. Its callers in one process take turns."""

    def __init__(self, path: Path | str | None = None):
        self.path, self.spent = Path(path) if path else None, Spent()
        self._lock: Any = FileLock(f"{path}.lock") if path else nullcontext()

    def reserve(self, cost: float, max_cost: float | None) -> tuple[bool, Spent]:
        """(whether it was set aside: all together stays within `max_cost`, what was spent before)."""
        with self._lock:
            before = self._read()
            fits = max_cost is None or before.cost + before.reserved + cost <= max_cost
            if fits:
                self._write(before._replace(num_reserved=before.num_reserved + 1, reserved=before.reserved + cost))
        return fits, before

    def settle(self, reserved: float, cost: float | None) -> None:
        """Exchange what was set aside for what was paid, None where no reply came."""
        with self._lock:
            before = self._read()
            self._write(
                Spent(
                    before.num_asked + (cost is not None),
                    before.cost + (cost or 0.0),
                    before.num_reserved - 1,
                    before.reserved - reserved if before.num_reserved > 1 else 0.0,  # no dust of rounding
                )
            )

    def _read(self) -> Spent:
        if self.path is None:
            return self.spent
        if not self.path.exists():
            return Spent()
        return Spent(*json.loads(self.path.read_text("ascii")))

    def _write(self, spent: Spent) -> None:
        if self.path is None:
            self.spent = spent
        else:
            unfinished = self.path.with_suffix(".tmp")  # under the lock nobody else writes it
            unfinished.write_text(json.dumps(spent), "ascii")
            os.replace(unfinished, self.path)
