"""Scores as a table for a terminal: by dataset, by group, and two models side by side."""

from typing import Any

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Row


def render(scores: dict[str, Any]) -> str:
    """scores.json as tables of text: by dataset, by group, and the comparison, if there is one."""
    blocks = []
    for model in scores["models"]:
        blocks += [f"{model['model']}: scores in points with 95 % intervals", _dataset_table(model["datasets"])]
        if len(model["datasets"]) > 1:
            blocks.append(_group_table(model["groups"]))
    blocks += [_comparison_table(found) for found in scores["comparisons"]]
    return "\n\n".join(blocks)


def _dataset_table(lines: list[Row]) -> str:
    counted = ("missing", "failed", "without_reference", "unreadable", "empty")
    rows = [["config", "split", "rows", "metric", "score", "ROUGE-L", *(name.replace("_", " ") for name in counted)]]
    for line in lines:
        names = [name for name in line["scores"] if name != "rouge_l"] or list(line["scores"])
        for i, name in enumerate(names or [line["metric"]]):
            counts = [line[f"num_{what}"] for what in counted]
            found, rouge = line["scores"].get(name), line["scores"].get("rouge_l")
            head = [line["config"], line["split"], f"{line['num_rows']:,}"] if not i else ["", "", ""]
            rest = [_text(rouge), *(f"{n:,}" if n else "" for n in counts)] if not i else [""] * 6
            rows.append([*head, METRICS[name].title, _text(found), *rest])
    return _aligned(rows)


def _group_table(lines: list[Row]) -> str:
    rows = [["group", "configs", "rows", "metric", "micro", "macro"]]
    for line in lines:
        numbers = [str(line["num_configs"]), f"{line['num_rows']:,}"]
        texts = [METRICS[line["metric"]].title, _text(line["micro"]), _text(line["macro"])]
        rows.append([line["group"], *numbers, *texts])
    return _aligned(rows)


def _comparison_table(found: dict[str, Any]) -> str:
    rows = [["config", "split", "rows", "metric", "first", "second", "difference", "p", "better/equal/worse"]]
    for line in found["datasets"]:
        scores = [f"{line['first']:.1f}", f"{line['second']:.1f}", _text(line["difference"]), f"{line['p']:.3f}"]
        counts = "/".join(str(line["rows"][name]) for name in ("first", "equal", "second"))
        rows.append(
            [line["config"], line["split"], f"{line['num_rows']:,}", METRICS[line["metric"]].title, *scores, counts]
        )
    apart = sum(line["num_only_first"] + line["num_only_second"] for line in found["datasets"] if line["num_rows"])
    note = "" if not apart else "\nRows that only one of them predicted are left out; scores.json counts them."
    return f"first: {found['models'][0]}\nsecond: {found['models'][1]}\n{_aligned(rows)}{note}"


def _text(found: dict[str, float] | None) -> str:
    return f"{found['score']:.1f} [{found['low']:.1f}, {found['high']:.1f}]" if found else ""


def _aligned(rows: list[list[str]]) -> str:
    """Columns as wide as their longest cell; a column of numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [all(not cell or cell[0] in "-0123456789" for cell in column[1:]) for column in zip(*rows, strict=True)]
    cells = [[c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)
