"""One HTML page about runs, and its figures as PNG: gpt4_eval.png and case_study.png.

In: folders of predictions, of scores.json, of judge.json, and of a training. What is shown of them m3it/cases.py says,
how the page looks m3it/page.py.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from m3it.showing.case_study import (
    Case,
    Key,
    choose_cases,
    gather,
    mark,
    places_of,
    points_of,
    read_pictures,
    worst_cases,
)
from m3it.showing.page import render_page
from m3it.showing.rows import FONTS, lacking, load_font, wrap
from m3it.work.folder import write_text

VERDICT_COLOURS = {"win": "#2f6fde", "tie": "#b9b5ab", "lose": "#d9730d"}
LABEL_LETTERS = 34  # of a line beside a bar
PUBLISHED = {"MiniGPT-4": (167, 28, 105), "InstructBLIP": (196, 9, 95)}  # win, tie, lose: arXiv 2306.04387


def report(
    paths: Sequence[Path | str], out: Path | str, repo: str | None = None, figures: Path | str | None = None
) -> list[str]:
    """Write the page and, into the folder `figures`, the PNG figures; returns what could not be shown, in words.

    `repo`: where the pictures are, if not where the predictions say that they had them from.
    """
    found = gather(paths, repo)
    cases, worst = choose_cases(found), {place: worst_cases(found, place) for place in places_of(found)}
    pictures, problems = read_pictures(found, [*cases, *(case for some in worst.values() for case in some)])
    write_text(Path(out), render_page(found, cases, worst, pictures, problems))
    if figures:
        folder = Path(figures)
        folder.mkdir(parents=True, exist_ok=True)
        draw_verdicts(found.judges, folder / "gpt4_eval.png")
        drawn = [case for case in cases if can_draw(case)]
        if len(drawn) < len(cases):
            left = f"{len(cases) - len(drawn)} of {len(cases)} rows, whose letters no font of this machine has"
            problems.append(f"{folder / 'case_study.png'}: {left}. Install {FONTS[0]}.")
        if drawn:
            draw_cases(drawn, pictures, folder / "case_study.png")
    return problems


# ---- figures


def draw_verdicts(judges: list[dict[str, Any]], path: Path) -> None:
    """Stacked bars of win, tie, lose: the published ones, and below them ours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    bars = [(f"Ying-VLM vs {other}\npublished", list(counts), True) for other, counts in PUBLISHED.items()]
    for judge in judges:
        counts = judge["results"]["all"]
        names = ", ".join(judge["replies"]["answered_as"]) or judge["replies"]["model"]
        left_out = f", {counts['unreadable']} unreadable left out" if counts["unreadable"] else ""
        label = f"{fill(' vs '.join(judge['models']), LABEL_LETTERS)}\n"
        label += fill(f"ours, judge {names}{left_out}", LABEL_LETTERS)
        bars.append((label, [counts[verdict] for verdict in VERDICT_COLOURS], False))
    figure = Figure(figsize=(9, 1.6 + 0.85 * len(bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for y, (_label, counts, published) in enumerate(bars):
        left, total = 0.0, sum(counts) or 1
        for number, colour in zip(counts, VERDICT_COLOURS.values(), strict=True):
            width = 100 * number / total
            hatch = "//" if published else None
            axes.barh(y, width, left=left, color=colour, edgecolor="white", hatch=hatch, height=0.62)
            if number:
                ink = "#1d1f23" if colour == VERDICT_COLOURS["tie"] else "white"
                box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5}
                axes.text(
                    left + width / 2, y, str(number), ha="center", va="center", color=ink, weight="bold", bbox=box
                )
            left += width
    axes.set_yticks(range(len(bars)), [label for label, *_ in bars])
    axes.set(xlim=(0, 100), xlabel="% of the judged rows; the numbers are rows")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    ours = "" if judges else ", none is ours"
    figure.suptitle(f"FairEval verdicts on the first model; hatched: published (arXiv 2306.04387){ours}", fontsize=10)
    handles = [Patch(color=colour, label=verdict) for verdict, colour in VERDICT_COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_cases(cases: list[Case], pictures: dict[Key, list[bytes]], path: Path, columns: int = 2) -> None:
    """The case study as a picture: image, texts, each model's answer, right and wrong marked."""
    from PIL import Image

    cells = [_cell(case, pictures.get(case.key, [])) for case in cases]
    heights = [max(cell.height for cell in cells[i : i + columns]) for i in range(0, len(cells), columns)]
    sheet = Image.new("RGB", (CELL_PIXELS * min(columns, len(cells)), sum(heights)), "white")
    for i, cell in enumerate(cells):
        sheet.paste(cell, (CELL_PIXELS * (i % columns), sum(heights[: i // columns])))
    sheet.save(path, "PNG", optimize=True)


CELL_PIXELS = 520
MOST_PICTURES, MOST_LINES = 4, 8  # of a row, of a text
INKS = {"right": "#14804f", "wrong": "#b3263e", "partly": "#946200", "": "#333"}


def can_draw(case: Case) -> bool:
    """Whether the font has every letter of the row; a missing one would be an empty box."""
    texts = [case.prompt, case.references[0], *(text for answer in case.answers for text in (answer[1], answer[3]))]
    return not lacking("".join({*"".join(texts)}))


def _shortened(lines: list[str]) -> list[str]:
    return lines if len(lines) <= MOST_LINES else [*lines[: MOST_LINES - 1], f"{lines[MOST_LINES - 1]} …"]


def _cell(case: Case, images: list[bytes]) -> Any:
    """One row: pictures on the left, up to four, texts on the right."""
    import io

    from PIL import Image, ImageDraw

    margin, step, left = 12, 20, 190
    width = CELL_PIXELS - left - margin
    instruction, _line, inputs = case.prompt.partition("\n")
    more = f", first {MOST_PICTURES} of {len(images)} pictures" if len(images) > MOST_PICTURES else ""
    texts = [(f"{case.key[0]} {case.key[2]}{more}", "#888"), (instruction, "#666"), (inputs, "#000")]
    texts.append((f"reference: {case.references[0]}", "#555"))
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        told = kind or points_of(case, score)
        said = error or prediction.strip() or "(nothing)"
        texts.append((f"{model} [{told}]: {said}" if told else f"{model}: {said}", INKS[kind]))
    font = load_font("".join({letter for text, _ink in texts for letter in text}))
    lines = [(part, ink) for text, ink in texts for part in _shortened(wrap(text, font, width)) if part]
    side = left - 2 * margin if len(images) < 2 else (left - 2 * margin) // 2
    thumbs = [Image.open(io.BytesIO(image)) for image in images[:MOST_PICTURES]]
    for thumb in thumbs:
        thumb.thumbnail((side - 2, 220))
    tall = sum(max(t.height for t in thumbs[i : i + 2]) + 4 for i in range(0, len(thumbs), 2)) if thumbs else 0
    cell = Image.new("RGB", (CELL_PIXELS, max(tall, step * len(lines)) + 2 * margin), "white")
    y = margin
    for i in range(0, len(thumbs), 2 if len(images) > 1 else 1):
        pair = thumbs[i : i + (2 if len(images) > 1 else 1)]
        for k, thumb in enumerate(pair):
            cell.paste(thumb, (margin + k * side, y))
        y += max(thumb.height for thumb in pair) + 4
    pen = ImageDraw.Draw(cell)
    for i, (part, ink) in enumerate(lines):
        pen.text((left, margin + step * i), part, font=font, fill=ink)
    return cell
