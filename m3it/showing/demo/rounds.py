"""A question of the page, put to one model, or to two that nobody can tell apart before the vote.

In: names of models, and what the page holds: pictures, an instruction, inputs.  Out: the answers as they are written,
and what the models saw. A question is what `m3it predict` would ask of the same row.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3it.evaluating.answering import LocalModel, ModelInput, Question, ServedModel, question_of
from m3it.evaluating.votes import is_swapped
from m3it.rows.instance import M3ITError
from m3it.work.chat import Chat

MAX_TOKENS = 256  # of an answer, as of a prediction
Model = LocalModel | ServedModel


class Taken(NamedTuple):
    """A row that was taken: `place`, its config and split; `pictures`, its files."""

    place: dict[str, str]
    id: str
    inputs: str
    pictures: list[bytes]
    reference: str


class Round(NamedTuple):
    """A question, and the models' answers as far as they have come, in the order in which the models were named.
    `places`: which of them stands where, from the left; `reference`: "" where none is known."""

    question: Question
    answers: tuple[str, ...]
    places: tuple[int, ...]
    reference: str


def load_models(names: Sequence[str], base_url: str | None = None, max_tokens: int = MAX_TOKENS) -> dict[str, Model]:
    """The models by their names: with `base_url` those that are no folder here are asked for there."""
    return {
        name: ServedModel(Chat(name, base_url), max_tokens)
        if base_url and not Path(name).is_dir()
        else LocalModel(name, max_tokens, 1)
        for name in names
    }


def question_from(pictures: list[bytes], instruction: str, inputs: str, taken: Taken | None) -> tuple[Question, str]:
    """(the question, its reference): that of the row taken, as long as pictures and inputs are the row's."""
    row: dict[str, Any] = {"instruction": instruction, "inputs": inputs, "images": [{"bytes": p} for p in pictures]}
    if not any((instruction.strip(), inputs.strip(), pictures)):
        raise M3ITError("There is nothing to ask: take a row, or add a picture and write a question.")
    if taken and (taken.inputs, taken.pictures) == (inputs, pictures):
        return question_of(row, taken.id, taken.place, {}), taken.reference
    return question_of(row, "this question", {}, {}), ""


def ask(models: Sequence[Model], question: Question, reference: str) -> Iterator[Round]:
    """Yield the round again and again while the models answer, one after the other, from the left."""
    places = (1, 0) if len(models) == 2 and is_swapped(question) else tuple(range(len(models)))
    answers = [""] * len(models)
    for which in places:
        for text in models[which].stream(question):
            answers[which] = text
            yield Round(question, tuple(answers), places, reference)


def seen(models: Sequence[Model], question: Question) -> list[ModelInput]:
    """What each model saw of it."""
    return [model.seen(question) for model in models]
