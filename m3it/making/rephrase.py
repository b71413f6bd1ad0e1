"""Short answers rewritten into fluent sentences by a language model, with the question as context.

In: a shard.  Out: a shard of the same name, its `outputs` the rewrites that pass the checks, and the short answers
where none does; `meta` keeps the short answer and says what happened. M3IT's own rewrites came from a language model
too (https://arxiv.org/abs/2306.04387); neither its prompt nor its checks are published, both are ours (rewrites.py).
"""

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from M3IT import id_of
from m3it.making.rewrites import reason_against, words
from m3it.rows.instance import ShardError, text
from m3it.rows.jsonl import as_line, read_shard, to_line
from m3it.work.chat import Chat, ChatError, Reply, Request, message
from m3it.work.folder import Folder, write_json
from m3it.work.reasoning import without_reasoning
from m3it.work.runner import Progress, silent, versions

SYSTEM = """You turn the short answer to a question about a picture, which you cannot see, into one fluent sentence.
Write in the language of the question. Keep the words of the short answer, and take the rest from the question.
Add no fact and no number. A yes or no comes first. Write the sentence and nothing else."""
OPTIONS = {"temperature": 0, "max_tokens": 200}
MAX_WORDS = 10  # of an answer that counts as short; a Chinese character counts as a word
MAX_REFUSALS = 10  # at the start: a server that takes nothing ends the run
REPHRASED, BEFORE, REFUSED = "rephrased", "rephrased before", "refused by the server"


def unfit(row: dict[str, Any]) -> str:
    """Why a row is not asked about; "" if it is."""
    if json.loads(row["meta"]).get("rephrased"):
        return BEFORE
    num_words = len(words(row["outputs"]))
    if not num_words or num_words > MAX_WORDS:
        return "not a short answer" if num_words else "no words"
    return "" if row["inputs"].strip() else "no question"


def request(question: str, answer: str) -> Request:
    """What the model is asked."""
    asked = message(f"Question: {question}\nShort answer: {answer}")
    return Request([message(SYSTEM, role="system"), asked], options=OPTIONS)


def rephrase(rows: Iterable[dict[str, Any]], chat: Chat, counts: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield every row, in order, its answer rewritten where that is short and the rewrite passes; `counts` gets
    "rephrased" or the reason why a row keeps its answer. Rows that were rephrased before stay as they are."""
    waiting: deque[tuple[dict[str, Any], str]] = deque()

    def requests() -> Iterator[Request | None]:
        for row in rows:
            waiting.append((row, unfit(row)))
            yield None if waiting[-1][1] else request(row["inputs"], row["outputs"])

    for reply in chat.ask_all(requests(), on_error="drop"):
        row, reason = waiting.popleft()
        rewrite = ""
        if isinstance(reply, ChatError):
            if counts[REFUSED] == MAX_REFUSALS and not chat.num_asked + chat.num_kept:
                raise reply
            reason = REFUSED
        elif reply:
            said = without_reasoning(reply.text)
            rewrite = unquoted(said or "")
            if reply.finish_reason == "length" or said is None:
                reason = "cut off"
            elif reply.fault:
                reason = REFUSED
            else:
                reason = reason_against(rewrite, row["inputs"], row["outputs"])
        counts[reason or REPHRASED] += 1
        model = reply.model if isinstance(reply, Reply) else chat.model
        yield row if reason == BEFORE else rewritten(row, rewrite, reason, model)


def unquoted(reply: str) -> str:
    """The reply in NFC without blanks and quotation marks around it."""
    rewrite = text(reply)
    quoted = len(rewrite) > 1 and rewrite[0] + rewrite[-1] in ('""', "''", "“”", "「」")
    return rewrite[1:-1].strip() if quoted else rewrite


def rewritten(row: dict[str, Any], rewrite: str, reason: str, model: str) -> dict[str, Any]:
    """The row with the rewrite as its answer, or, for a reason, with the one it has; meta says which and why."""
    told = {**json.loads(row["meta"]), "short_answer": row["outputs"], "rephrased": not reason, "rephrase_model": model}
    meta = json.dumps({**told, "rephrase_reason": reason} if reason else told, ensure_ascii=False)
    return {**row, "outputs": row["outputs"] if reason else rewrite, "meta": meta}


def rephrase_shard(
    path: Path | str, out: Path | str, chat: Chat, limit: int | None = None, progress: Progress = silent
) -> Counter[str]:
    """Rephrase a shard into one of the same name below `out`, whole or not at all; returns rows by what became of them.

    Killed and called again it asks only what it has not asked before. `out` gets the folders data/<task>/<dataset>/, if
    the shard lies in such. Beside the new shard, <name>.run.json says how it was made.
    """
    path, target = Path(path), target_of(Path(path), Path(out))
    if not path.is_file():
        raise ShardError(f"{path}: expected a shard, there is no such file.")
    if target.exists() and target.samefile(path):
        raise ValueError(f"{path}: would be written over itself. Pass another folder as --out.")
    counts: Counter[str] = Counter()
    rows = (as_line(row) for row in islice(read_shard(path), limit))
    num_rows = 0
    with Folder(target.parent).writing(target.name) as unfinished, open(unfinished, "wb") as file:
        for num_rows, row in enumerate(rephrase(progress(rows, path.name), chat, counts), 1):
            try:
                file.write(to_line(row))
            except ShardError as error:
                raise ShardError(f"{path}: row {id_of(row)!r}: {error}", error.reason) from error
    options = {"shard": path.name, "model": chat.model, "system": SYSTEM, **OPTIONS}
    options |= {"max_words": MAX_WORDS, "limit": limit}
    run: dict[str, Any] = {"command": "rephrase", "options": options, "versions": versions()}
    run |= {"num_rows": num_rows, "rows": dict(sorted(counts.items()))}
    write_json(target.with_name(f"{target.stem}.run.json"), run)
    return counts


def target_of(path: Path, out: Path) -> Path:
    """Where the new shard goes: below out/data/ as below the data/ that the old one lies in, else into `out` itself."""
    folders = path.absolute().parent.parts
    kept = folders[len(folders) - 1 - folders[::-1].index("data") :] if "data" in folders[-4:] else ()
    return out.joinpath(*kept, f"{path.name.partition('.')[0]}.jsonl")
