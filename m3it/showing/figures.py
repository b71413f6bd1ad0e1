"""The figures of README, under the seed's names: task coverage, an instance, instructions, tasks, a contact sheet."""

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, LANGUAGES, Dataset, Repository, find_shards, image_bytes
from m3it.catalogue import group_of
from m3it.reading.load import load_builder
from m3it.rows.images import pixels
from m3it.showing.rows import contact_sheet
from m3it.showing.stats import PUBLISHED
from m3it.work.folder import writing

TASK_COLOURS = {
    "captioning": "#cfe3f7", "classification": "#d7efd3", "vqa": "#fde5c8", "kvqa": "#f9d3d3", "reasoning": "#e3d9f2",
    "generation": "#fbf3bf", "Chinese": "#d5f0ee", "video": "#e6e6e6",
}  # fmt: skip


def draw_figures(stats: dict[str, Any], repo: str, folder: Path) -> Iterator[Path]:
    """Draw task_coverage, data_instance, instruction_stat and task_stat as PNG files, and contact_sheet with the first
    row of each dataset that the repository holds; yields their paths."""
    import matplotlib

    matplotlib.use("agg")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        "task_coverage": _task_coverage(),
        "instruction_stat": _instruction_figure(stats),
        "task_stat": _task_figure(),
        "data_instance": _instance_figure(repo),
    }
    for name, figure in drawn.items():
        path = folder / f"{name}.png"
        with writing(path) as unfinished:
            figure.savefig(unfinished, format="png", dpi=110, metadata={"Software": None})
        yield path
    contact_sheet(_first_rows(repo), folder / "contact_sheet.png", columns=5)
    yield folder / "contact_sheet.png"


def _first_rows(repo: str) -> Iterator[dict[str, Any]]:
    held = find_shards(Repository(repo))
    for name in CATALOGUE:
        if name in held:
            builder = load_builder(repo, name)
            yield {**next(builder.rows(next(iter(builder.shards(name))))), "title": name}


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _task_coverage() -> Any:
    """One column per group with a box per dataset: dashed where held out, bold where translated."""
    groups: dict[str, list[Dataset]] = {}
    for d in CATALOGUE.values():
        groups.setdefault(group_of(d), []).append(d)
    figure, axes = _figure(15, 6.2)
    for x, (group, members) in enumerate(groups.items()):
        axes.text(x + 0.5, 0.2, f"{group} ({len(members)})", ha="center", fontsize=13, weight="bold")
        for y, d in enumerate(members, 1):
            style = {"facecolor": TASK_COLOURS[group], "edgecolor": "#444", "linestyle": "--" if d.held_out else "-"}
            axes.add_patch(_box(x + 0.05, -y + 0.12, 0.9, 0.76, **style))
            label = d.name.replace("image-paragraph-captioning", "image-paragraph-\ncaptioning")
            weight = "bold" if d.translated else "normal"
            axes.text(x + 0.5, -y + 0.5, label, ha="center", va="center", fontsize=11, weight=weight)
    tallest = max(map(len, groups.values()))
    note = "dashed frame: held out, for evaluation only    bold: translated into 80 languages"
    axes.text(0.05, -tallest - 0.35, note, fontsize=11, color="#444")
    axes.set(xlim=(0, len(groups)), ylim=(-tallest - 0.6, 0.7))
    axes.axis("off")
    return figure


def _box(x: float, y: float, width: float, height: float, **style: Any) -> Any:
    from matplotlib.patches import FancyBboxPatch

    return FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.08", linewidth=1.3, **style)


def _instruction_figure(stats: dict[str, Any]) -> Any:
    """Instructions per task, and the distribution of their lengths with mean and published mean."""
    given = stats["instructions"]
    figure, left = _figure(11, 3.8)
    left.remove()
    left, right = figure.subplots(1, 2)
    tasks = given["instructions"]
    bars = left.barh(list(tasks), list(tasks.values()), color=[TASK_COLOURS[t] for t in tasks], edgecolor="#444")
    left.bar_label(bars, padding=3)
    left.invert_yaxis()
    left.set_title(f"{sum(tasks.values())} instructions, written by hand")
    right.hist(given["lengths"], bins=range(0, 66, 3), color="#cfe3f7", edgecolor="#444")
    mean, deviation = given["tokens"]
    right.axvline(mean, color="#b22", label=f"here {mean} ± {deviation}")
    right.axvline(PUBLISHED["tokens"][0], color="#444", linestyle="--", label="published 24.4 ± 9.6")
    right.set(title="tokens per instruction", xlabel="tokens", ylabel="instructions")
    right.legend()
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _task_figure() -> Any:
    """Published rows by group and split, on a logarithmic axis."""
    sizes: dict[str, list[int]] = {}
    for d in CATALOGUE.values():
        sums = sizes.setdefault(group_of(d), [0, 0, 0])
        sizes[group_of(d)] = [a + b for a, b in zip(sums, (d.train, d.validation, d.test), strict=True)]
    # M3IT-80's files: 500 rows of six datasets; for the test 500 of vist, 800 of winoground (its card says more).
    sizes["80 languages"] = [len(LANGUAGES) * rows for rows in (6 * 500, 6 * 500, 500 + 800)]
    figure, axes = _figure(11, 4.6)
    for k, (split, colour) in enumerate(
        zip(("train", "validation", "test"), ("#4477aa", "#ee9944", "#66aa77"), strict=True)
    ):
        numbers = [row[k] for row in sizes.values()]
        bars = axes.bar([i + 0.28 * (k - 1) for i in range(len(sizes))], numbers, 0.27, color=colour, label=split)
        axes.bar_label(bars, [f"{n / 1000:.0f}k" if n >= 1000 else f"{n}" for n in numbers], fontsize=8, padding=2)
    axes.set_yscale("log")
    axes.set_xticks(range(len(sizes)), list(sizes))
    axes.set(title="M3IT: published rows by group", ylabel="rows (log)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend()
    return figure


def _instance_figure(repo: str) -> Any:
    """One row of viquae as the reader sees it: picture left, its four fields right."""
    builder = load_builder(repo, "viquae", meta=True)
    row = next(builder.rows("train"))
    figure, axes = _figure(10, 3.4)
    axes.remove()
    left, right = figure.subplots(1, 2, width_ratios=(2, 3))
    left.imshow(pixels(image_bytes(row)[0]))
    head = row["image_base64_str"][0][:24]
    texts = {
        "instruction": row["instruction"],
        "inputs": row["inputs"],
        "outputs": row["outputs"],
        "image_base64_str": f'["{head}…"]',
    }
    y = 1.0
    for name, value in texts.items():
        wrapped = textwrap.wrap(value, 62)
        right.text(0, y, name, weight="bold", family="monospace", fontsize=11, va="top")
        right.text(0, y - 0.075, "\n".join(wrapped), fontsize=11, va="top")
        y -= 0.13 + 0.075 * len(wrapped)
    for axes in (left, right):
        axes.axis("off")
    return figure
