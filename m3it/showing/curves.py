"""The losses of a training as lines over its steps, with axes: where everything stands, in shares of the chart.

In: the log of trainer_state.json.  Out: what page.html draws. Losses stand on a scale of logarithms: most of a curve is
flat.
"""

import math
from typing import Any

WIDTH, HEIGHT = 600, 200  # of the drawing, which the page stretches
MARGIN = 0.05  # of the height, above the highest and below the lowest loss
MAX_TICKS = 6
LEAST = 1e-9  # a loss of 0 has no logarithm


def curve(path: str, log: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The chart of one training; None where its log holds no loss."""
    series = {name: [(e["step"], e[name]) for e in log if name in e] for name in ("loss", "eval_loss")}
    points = [point for some in series.values() for point in some]
    if not points:
        return None
    last, losses = max(x for x, _ in points) or 1, [max(y, LEAST) for _, y in points]
    low, high = math.log(min(losses)), math.log(max(losses))
    margin = MARGIN * (high - low) or MARGIN

    def depth(loss: float) -> float:
        """How far below the top."""
        return (high + margin - math.log(max(loss, LEAST))) / (high - low + 2 * margin)

    lines = []
    for i, (name, some) in enumerate(series.items()):
        places = [f"{WIDTH * x / last:.1f},{HEIGHT * depth(y):.1f}" for x, y in some]
        if len(places) == 1:
            places *= 2  # a line of no length is drawn as a dot, one point is not drawn at all
        lines.append({"name": name, "colour": f"c{i}", "losses": [y for _, y in some], "places": " ".join(places)})
    return {
        "path": path,
        "steps": last,
        "lines": lines,
        "across": [{"told": f"{step:,.0f}", "at": step / last} for step in even_ticks(0, last) if step == int(step)],
        "down": [{"told": f"{loss:.3g}", "at": depth(loss)} for loss in log_ticks(min(losses), max(losses))],
    }


def even_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, equally far apart: by 1, 2 or 5 times a power of ten."""
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / MAX_TICKS))
    step = next(times * power for times in (1, 2, 5, 10) if (high - low) / (times * power) <= MAX_TICKS + 1e-9)
    first, end = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, end + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high for a scale of logarithms: 1, 2, 5, 10, ...; powers of ten alone where those are
    too many, and equally far apart where they are too few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for times in ((1, 2, 5), (1,)):
        ticks = [float(f"{t}e{power}") for power in powers for t in times if low <= float(f"{t}e{power}") <= high]
        if len(ticks) <= MAX_TICKS:
            break
    return ticks if len(ticks) > 2 else even_ticks(low, high)
