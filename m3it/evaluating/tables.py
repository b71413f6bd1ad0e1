"""Scores and verdicts as tables for a terminal.

In: what scores.json holds, or judge.json.  Out: text: scores by dataset, by group, and of two models side by side; the
verdicts of a judge, and what they are worth.
"""

from typing import Any

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.runs import Row
from m3it.evaluating.verdicts import VERDICTS


def score_table(scores: dict[str, Any]) -> str:
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
    head = ["config", "split", "rows", "metric", "score", "ROUGE-L", *(name.replace("_", " ") for name in counted)]
    lenient = any("accuracy_lenient" in line for line in lines)
    rows = [[*head, *(["lenient"] if lenient else [])]]
    for line in lines:
        unscored = line.get("not_scored", {})
        names = [*unscored, *(name for name in line["scores"] if name != "rouge_l")] or list(line["scores"])
        for i, name in enumerate(names or [line["metric"]]):
            found, rouge = line["scores"].get(name), line["scores"].get("rouge_l")
            head = [line["config"], line["split"], f"{line['num_rows']:,}"] if not i else ["", "", ""]
            counts = [_count(line, what) if not i else "" for what in counted]
            rest = [_text(rouge) if not i else "", *counts]
            if lenient:
                rest.append(f"{line['accuracy_lenient']:.1f}" if "accuracy_lenient" in line and not i else "")
            rows.append([*head, METRICS[name].title, "-" if name in unscored else _text(found), *rest])
    reasons = {(METRICS[name].title, why): 0 for line in lines for name, why in line.get("not_scored", {}).items()}
    return "\n".join([_aligned(rows), *(f"{title}: {why}" for title, why in reasons)])


def _count(line: Row, what: str) -> str:
    """A count, unreadable answers with their share; "" for none."""
    number = line[f"num_{what}"]
    share = f" ({100 * number / line['num_rows']:.0f} %)" if what == "unreadable" and line["num_rows"] else ""
    return f"{number:,}{share}" if number else ""


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


def verdict_table(found: dict[str, Any]) -> str:
    """judge.json as text: the result, what the judge is worth, and what to look at."""
    bias, replies = found["bias"], found["replies"]
    names = ", ".join(replies["answered_as"]) or "none: all answers are equal"
    days = " to ".join(dict.fromkeys(replies["days"]))
    lines = [f"{' against '.join(found['models'])}, judge {names} {days}".rstrip()]
    lines.append(f"{'':<14}{'win':>6}{'tie':>6}{'lose':>6}{'unreadable':>12}{'p':>8}")
    for name, counts in found["results"].items():
        numbers = "".join(f"{counts[v]:>{w}}" for v, w in zip(VERDICTS, (6, 6, 6, 12), strict=True))
        lines.append(f"{name:<14}{numbers}{counts['p']:>8.3f}")
    share = f" ({100 * bias['num_turned'] / bias['num_rows']:.0f} %)" if bias["num_rows"] else ""
    favours, draws = bias["favours"], bias["draws"]
    lines += [
        "",
        f"sides    {bias['num_turned']} of {bias['num_rows']} verdicts{share} turned with the sides: "
        f"{favours['first']} for the first, {favours['second']} for the second both times",
        f"draws    first {draws['first']}, second {draws['second']}, neither {draws['neither']}; entropy of the sides "
        f"{bias['side_entropy']:.2f} of 1 bit, of a row's draws {bias['mean_entropy']:.2f} bits",
        f"replies  {replies['num_evidences']} evidences, {replies['num_asked_again']} asked again, "
        f"{replies['num_unreadable']} unreadable, {replies['num_refused']} refused",
    ]
    if replies["num_sets_alike"]:
        lines.append(
            f"         {replies['num_sets_alike']} of {replies['num_sets']} times all evidences are the same word for "
            "word: the server draws no samples there, and k of them say no more than one"
        )
    if found.get("quoting"):
        answers = "an answer that holds the judge's own frame"
        lines.append(f"quoting  {len(found['quoting'])} rows with {answers}; judge.json lists them")
    if found["missing"]:
        lines.append(f"missing  {len(found['missing'])} chosen rows have no prediction; judge.json lists them")
    lines.append(f"review   {len(bias['review'])} rows that a person should look at; judge.json lists them")
    return "\n".join(lines)
