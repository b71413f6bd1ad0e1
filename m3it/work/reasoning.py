"""What a model thinks aloud before it answers, told from its answer by the marks around it."""

import re
from collections.abc import Sequence
from functools import lru_cache

# What models put around their thoughts. A name stands for <name>...</name> and ◁name▷...◁/name▷, [NAME] for
# [NAME]...[/NAME], two marks with a blank between them for themselves.
REASONING_TAGS = (
    *("think", "thinking", "thought", "reasoning", "seed:think", "[THINK]"),
    "<|begin_of_thought|> <|end_of_thought|>",
    "<|channel|>analysis<|message|> <|channel|>final<|message|>",
)
ANSWER_TAGS = re.compile(r"\s*<answer>((?:(?!</?answer>).)*)</answer>\s*", re.IGNORECASE | re.DOTALL)


def without_reasoning(text: str, tags: Sequence[str] = REASONING_TAGS) -> str | None:
    """What a model answers after it has thought aloud: the text after the last closing mark, also where the opening one
    is missing, as chat templates write it themselves. None for a thought that does not end; a text without marks as it
    is. <answer>...</answer> around all of it goes."""
    marks = _marks((tags,) if isinstance(tags, str) else tuple(tags))
    ends = list(marks[1].finditer(text)) if marks else []
    answer = text[ends[-1].end() :].strip() if ends else text
    if marks and marks[0].search(answer):
        return None
    framed = ANSWER_TAGS.fullmatch(answer)
    return framed[1].strip() if framed else answer


def open_thought(prompt: str, tags: Sequence[str] = REASONING_TAGS) -> str:
    """The mark that a prompt ends in, so that the model's text begins within a thought; "" for none."""
    marks = _marks(tuple(tags))
    last = list(marks[0].finditer(prompt))[-1:] if marks else []
    return last[0][0] if last and not prompt[last[0].end() :].strip() else ""


@lru_cache
def _marks(tags: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str]] | None:
    """(opening marks, closing marks); None for no tags."""
    pairs = []
    for tag in filter(str.strip, tags):
        opening, _, closing = tag.strip().partition(" ")
        name = re.escape(opening.strip("<>[]◁▷/"))
        if closing:
            pairs.append((re.escape(opening), re.escape(closing.strip())))
        elif opening.startswith("["):  # as it is written: [Think] may be a text's own
            pairs.append((rf"\[{name}\]", rf"\[/{name}\]"))
        else:
            pairs.append((rf"(?i:[<◁]{name}(?:\s[^<>]*)?[>▷])", rf"(?i:[<◁]/{name}\s*[>▷])"))
    patterns = ["|".join(side) for side in zip(*pairs, strict=True)]
    return (re.compile(patterns[0]), re.compile(patterns[1])) if patterns else None
