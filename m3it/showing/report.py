"""One HTML page about runs, and its figures as PNG: gpt4_eval.png and case_study.png.

In: folders of predictions, of scores.json, of judge.json, and of a training.  Out: the page, as page.py has it, of what
case_study.py finds in them.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from m3it.evaluating.runs import Key
from m3it.rows.instance import M3ITError
from m3it.showing.case_study import (
    Case,
    ReportError,
    choose_cases,
    gather,
    mark,
    places_of,
    points_of,
    read_pictures,
    worst_cases,
)
from m3it.showing.page import render_page
from m3it.showing.rows import FONTS, Cell, draw_sheet, letters_of, missing_letters
from m3it.work.folder import refuse_other, write_text, writing

PUBLISHED_VERDICTS = {"MiniGPT-4": (167, 28, 105), "InstructBLIP": (196, 9, 95)}  # win, tie, lose: arXiv 2306.04387
VERDICT_COLOURS = {"win": "#2f6fde", "tie": "#b9b5ab", "lose": "#d9730d"}
LABEL_LETTERS = 34  # of a line beside a bar
CASE_PIXELS, PICTURES_PIXELS = 520, 190  # of a case, and of its pictures
MAX_PICTURES, MAX_LINES = 4, 8  # of a case, of a text
INKS = {"right": "#14804f", "wrong": "#b3263e", "partly": "#946200", "": "#333"}


def report(
    paths: Sequence[Path | str], out: Path | str, *, repo: str | None = None, figures: Path | str | None = None
) -> list[str]:
    """Write the page and, into the folder `figures`, the PNG figures; returns what could not be shown, in words.

    `repo`: where the pictures are, if not where the predictions say that they had them from.
    """
    try:
        found = gather(paths, repo)
        cases, worst = choose_cases(found), {place: worst_cases(found, place) for place in places_of(found)}
        pictures, problems = read_pictures(found, [*cases, *(case for some in worst.values() for case in some)])
        again = shlex.join(["m3it", "report", *map(str, paths), *(["--repo", repo] if repo else [])])
        page = render_page(found, cases=cases, worst=worst, pictures=pictures, problems=problems, command=again)
        refuse_other(out, b"<!doctype html", "a page")
        write_text(Path(out), page)
        if figures:
            problems += draw_report_figures(found.judges, cases, pictures, folder=Path(figures))
    except (M3ITError, OSError):
        raise
    except Exception as error:  # any: a file may hold anything anywhere, and the template meets some of it
        raise ReportError(
            f"{', '.join(map(str, paths))}: expected scores.json, judge.json and trainer_state.json as m3it writes "
            f"them, found another value: {error!r}. Make them again."
        ) from error
    return problems


# ---- figures


def draw_report_figures(
    judges: list[dict[str, Any]], cases: list[Case], pictures: dict[Key, list[bytes]], *, folder: Path
) -> list[str]:
    """Draw both figures; returns what is left out, in words."""
    folder.mkdir(parents=True, exist_ok=True)
    draw_verdicts(judges, folder / "gpt4_eval.png")
    drawn = [case for case in cases if can_draw(case)]
    if drawn:
        draw_cases(drawn, pictures, folder / "case_study.png")
    if num_left := len(cases) - len(drawn):
        left = f"{num_left} of {len(cases)} rows, whose letters no font of this machine has"
        return [f"{folder / 'case_study.png'}: {left}. Install {FONTS[0]}."]
    return []


def draw_verdicts(judges: list[dict[str, Any]], path: Path) -> None:
    """Stacked bars of win, tie, lose: the published ones, and below them ours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    bars = [(f"Ying-VLM vs {other}\npublished", list(counts), True) for other, counts in PUBLISHED_VERDICTS.items()]
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
    with writing(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110, metadata={"Software": None})


def draw_cases(cases: list[Case], pictures: dict[Key, list[bytes]], path: Path) -> None:
    """The case study as a picture: images on the left, texts and each model's answer on the right, right and wrong
    marked."""
    cells = (case_cell(case, pictures.get(case.key, [])) for case in cases)
    draw_sheet(cells, path, 2, width=CASE_PIXELS, beside=PICTURES_PIXELS, max_lines=MAX_LINES)


def case_cell(case: Case, images: list[bytes]) -> Cell:
    """What a sheet shows of a case."""
    instruction, _line, inputs = case.prompt.partition("\n")
    more = f", first {MAX_PICTURES} of {len(images)} pictures" if len(images) > MAX_PICTURES else ""
    texts = [(f"{case.key[0]} {case.key[2]}{more}", "#888"), (instruction, "#666"), (inputs, "#000")]
    texts.append((f"reference: {case.references[0]}", "#555"))
    for model, prediction, score, error in case.answers:
        kind = mark(case, score)
        told = kind or points_of(case, score)
        said = error or prediction.strip() or "(nothing)"
        texts.append((f"{model} [{told}]: {said}" if told else f"{model}: {said}", INKS[kind]))
    return Cell(images[:MAX_PICTURES], texts, case.key[2])


def can_draw(case: Case) -> bool:
    """Whether the font has every letter of the row; a missing one would be an empty box."""
    return not missing_letters(letters_of(case_cell(case, [])))
