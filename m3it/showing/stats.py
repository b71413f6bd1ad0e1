"""What M3IT holds, counted: instructions, rows, answers, pictures, languages, licenses; as numbers, text and figures.

Published figures (arXiv 2306.04387) stand beside the measured ones. A token is a word or a punctuation mark, in
Chinese and Japanese a character; edit distance is Levenshtein's, in characters, between English instructions.
"""

import re
import statistics
from collections import Counter
from itertools import combinations
from typing import Any

from M3IT import CATALOGUE, Repository, find_shards, image_bytes
from m3it.catalogue import group_of, instructions, why_not_commercial
from m3it.reading.load import load_builder
from m3it.rows.images import size
from m3it.work.extras import install

PUBLISHED = {
    "tokens": (24.4, 9.6),
    "edit distance, same task": (76.6, 37.2),
    "edit distance, other task": (106.6, 39.5),
}
# Han, kana and full-width signs; words of any letters, with their marks; what else is seen.
TOKEN = re.compile(
    r"[\u3400-\u9fff\uff00-\uffef\u3000-\u30ff]|[^\W_\u3000-\u9fff][\w\u0300-\u036f\u064b-\u0652]*"
    r"(?:['’-](?![\u3000-\u9fff])\w+)*|[^\w\s]"
)


def instruction_stats() -> dict[str, Any]:
    """Number per task, tokens and, where rapidfuzz is installed, edit distances (mean, standard deviation) of the 400
    instructions."""
    texts = [(d.task, d.language, text) for d in CATALOGUE.values() for text in instructions(d.name)]
    lengths = [len(TOKEN.findall(text)) for *_, text in texts]
    return {
        "instructions": dict(Counter(task for task, *_ in texts)),
        "lengths": lengths,
        "tokens": _spread(lengths),
        **_edit_distances([(task, text) for task, language, text in texts if language == "en"]),
    }


def _edit_distances(texts: list[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Of all pairs of (task, text); {} without rapidfuzz."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        return {}
    same: list[int] = []
    other: list[int] = []
    for (task_a, a), (task_b, b) in combinations(texts, 2):
        (same if task_a == task_b else other).append(Levenshtein.distance(a, b))
    return {"edit distance, same task": _spread(same), "edit distance, other task": _spread(other)}


def _spread(numbers: list[int]) -> tuple[float, float]:
    return round(statistics.fmean(numbers), 1), round(statistics.pstdev(numbers), 1)


def row_stats(repo: str) -> dict[str, Any]:
    """Per config of a repository: rows per split, images per row, image sides in pixels and answer lengths in tokens
    (medians)."""
    stats = {}
    for config in find_shards(Repository(repo)):
        builder = load_builder(repo, config)
        rows, answers, sides, images = {}, [], [], []
        for split in builder.shards(config):
            rows[split] = 0
            for row in builder.rows(split):
                files = image_bytes(row)
                rows[split] += 1
                images.append(len(files))
                sides += [max(size(file)) for file in files[:1]]
                answers.append(len(TOKEN.findall(row["outputs"])))
        medians = {"images": images, "longer side": sides, "answer tokens": answers}
        stats[config] = {"rows": rows, **{name: statistics.median(values or [0]) for name, values in medians.items()}}
    return stats


def all_stats(repo: str) -> dict[str, Any]:
    """Everything that `m3it stats` shows, as one JSON value; `left_out`: what could not be counted here."""
    of_instructions = instruction_stats()
    licenses = Counter(d.license for d in CATALOGUE.values())
    languages = Counter(d.language for d in CATALOGUE.values())
    commercial = [name for name in CATALOGUE if not why_not_commercial(name)]
    return {
        "instructions": of_instructions,
        "published": PUBLISHED,
        "left_out": [name for name in PUBLISHED if name not in of_instructions],
        "sizes": {d.name: {s: getattr(d, s) for s in ("train", "validation", "test")} for d in CATALOGUE.values()},
        "measured": row_stats(repo),
        "licenses": dict(licenses),
        "commercial": commercial,
        "languages": dict(languages),
    }


def stats_text(stats: dict[str, Any]) -> str:
    """The statistics as lines for a terminal."""
    given = stats["instructions"]
    lines = [f"{sum(given['instructions'].values())} instructions: {_listed(given['instructions'])}"]
    for name, (mean, deviation) in stats["published"].items():
        if name not in stats["left_out"]:
            lines.append(f"  {name:<26}{given[name][0]:>6} ± {given[name][1]:<6} published {mean} ± {deviation}")
    if stats["left_out"]:
        lines.append(f"  {', '.join(stats['left_out'])} left out: {install('eval')} (rapidfuzz)")
    lines += ["", "rows by group, here / published"] + [
        f"  {group:<16}" + "".join(f"{split} {f'{a:,} / {b:,}':<20}" for split, (a, b) in row.items()).rstrip()
        for group, row in rows_by_group(stats).items()
    ]
    lines.append(f"\n{'config':<28}{'rows here':>10}{'published':>11}  images  longer side  answer tokens  (medians)")
    for config, row in stats["measured"].items():
        published = sum(stats["sizes"].get(config, {}).values())
        numbers = f"{sum(row['rows'].values()):>10,}{published:>11,}{row['images']:>8g}{row['longer side']:>13g}"
        lines.append(f"{config:<28}{numbers}{row['answer tokens']:>15g}")
    lines += ["", f"languages of the datasets: {_listed(stats['languages'])}; seven of them in 80 more"]
    lines += [
        f"licenses of annotations: {_listed(stats['licenses'])}",
        f"commercial use: {', '.join(stats['commercial'])}",
    ]
    return "\n".join(lines)


def rows_by_group(stats: dict[str, Any]) -> dict[str, dict[str, tuple[int, int]]]:
    """Per reporting group and split, the rows measured and those published by the catalogue; translations left out."""
    groups: dict[str, dict[str, tuple[int, int]]] = {}
    for name, sizes in stats["sizes"].items():
        group, measured = groups.setdefault(group_of(CATALOGUE[name]), {}), stats["measured"].get(name, {"rows": {}})
        for split, published in sizes.items():
            before = group.get(split, (0, 0))
            group[split] = (before[0] + measured["rows"].get(split, 0), before[1] + published)
    return groups


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts.items())
