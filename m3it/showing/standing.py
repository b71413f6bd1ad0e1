"""How the models stand, in words: what they were asked, and whether that beats always giving the same answer.

In: what case_study.py found.  Out: the page's first sentences, and for each score whether it is below the score of the
majority answer, above it, or no different: as its 95 % interval says, which stands beside it on the page.
"""

from m3it.evaluating.metrics import METRICS
from m3it.evaluating.row_scores import majority_score
from m3it.evaluating.runs import Place, Row
from m3it.showing.case_study import Found

MAX_NAMED = 3  # datasets that a sentence names; of more it says how many they are
VERDICTS = {"win": "first wins", "tie": "tie", "lose": "second wins", "unreadable": "unreadable"}  # and their meaning
VOTE_KINDS = {"win": "first is better", "tie": "tie", "bad": "both are bad", "lose": "second is better"}
THAN = {"above": "above", "no different": "no different from", "below": "below"}
Majority = dict[Place, tuple[str, float]]  # the commonest reference, and what always giving it would score


def counted(number: int, noun: str) -> str:
    """A number of things: 1 row, 1,024 rows."""
    return f"{number:,d} {noun}{'' if number == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Names in a sentence: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def dataset_lines(found: Found) -> list[tuple[str, Place, Row]]:
    """(model, place, its line of scores.json), those of one place together."""
    models = found.scores["models"]
    lines = [(m["model"], (line["config"], line["split"]), line) for m in models for line in m["datasets"]]
    places = list(dict.fromkeys(place for _, place, _ in lines))
    return sorted(lines, key=lambda item: places.index(item[1]))


def majority_by_place(found: Found) -> Majority:
    """The majority answer of each config and split whose own metric is one of right and wrong."""
    rows_by_place = {place: rows for run in reversed(found.runs) for place, rows in run.rows.items()}
    places = dict.fromkeys(place for _, place, _ in dataset_lines(found))
    scores = {place: majority_score(rows_by_place[place], place) for place in places if place in rows_by_place}
    return {place: same for place, same in scores.items() if same}


def stand(score: dict[str, float], same: float) -> tuple[str, str]:
    """(above, no different or below, by how many points) of a score and that of the majority answer: the latter lies
    below the interval, in it, or above it."""
    told = round(same, 4)  # as scores.json has its numbers: else 5/9 would lie below an interval from 5/9
    side = "below" if score["high"] < told else "above" if score["low"] > told else ""
    return (side, f"{abs(score['score'] - same):.1f}") if side else ("no different", "")


# ---- sentences


def summary(found: Found) -> str:
    """What was done, and with how many rows."""
    lines = dataset_lines(found)
    said = [_asked([line for line in lines if line[2]["num_rows"]])] if lines else []
    for judge in found.judges:
        num_rows = sum(judge["results"]["all"][verdict] for verdict in VERDICTS)
        days = " to ".join(dict.fromkeys(judge["replies"]["days"]))
        dated = f" on {days}" if days else ""
        said.append(f"A judge compared {listed(judge['models'])} on {counted(num_rows, 'row')}{dated}.")
    for of in found.votes:
        num_votes = sum(of[kind] for kind in VOTE_KINDS)
        said.append(f"People compared {listed(of['models'])} blindly in {counted(num_votes, 'vote')}.")
    if found.curves:
        said.append(f"The losses of {counted(len(found.curves), 'training')} are below.")
    return " ".join(said)


def _asked(lines: list[tuple[str, Place, Row]]) -> str:
    """How many models answered how many rows of what."""
    num_rows = {place: max(line["num_rows"] for _, of, line in lines if of == place) for _, place, _ in lines}
    num_models, places = len({model for model, *_ in lines}), ["/".join(place) for place in num_rows]
    if not lines:
        return "No row could be scored."
    what = listed(places) if len(places) <= MAX_NAMED else counted(len({config for config, _ in num_rows}), "dataset")
    return f"{counted(num_models, 'model')} answered {counted(sum(num_rows.values()), 'row')} of {what}."


def model_summary(model: str, found: Found, majority: Majority) -> str:
    """How one model stands to the majority answer; "" where no metric says."""
    own = [(place, line["metric"], line["scores"][line["metric"]])
           for of, place, line in dataset_lines(found) if of == model and line["metric"] in line["scores"]]  # fmt: skip
    judged = [(place, metric, score) for place, metric, score in own if place in majority]
    if len(judged) == 1:
        ((place, metric, score),) = judged
        side, points = stand(score, majority[place][1])
        apart, here = f" by {points} points" if points else "", f" on {place[0]}" if len(own) > 1 else ""
        told = f"{METRICS[metric].title} {score['score']:.1f} against {majority[place][1]:.1f}"
        return f"is {THAN[side]} the majority answer{apart}{here}: {told}"
    sides = {side: [place[0] for place, _, score in judged if stand(score, majority[place][1])[0] == side]
             for side in THAN}  # fmt: skip
    said = [(side, _named(names)) for side, names in sides.items() if names]
    first = [f"is {THAN[side]} the majority answer in {names}" for side, names in said[:1]]
    return ", ".join(first + [f"{side} in {names}" for side, names in said[1:]])


def _named(names: list[str]) -> str:
    """Which datasets, or how many."""
    return listed(names) if len(names) <= MAX_NAMED else counted(len(names), "dataset")
