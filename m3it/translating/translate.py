"""Rows -> rows in another language: instruction, inputs and outputs, each distinct text translated once and checked.

In: a config of any repository.  Out: data/<task>/<dataset>/<code>/<split>*.jsonl, which loads as `<dataset>-<code>`,
one shard for a source file; drops.jsonl with every row left out and why, run.json with what was counted. A row keeps
its id; its meta says which model wrote it and what happened, and holds the messages of a conversation in the other
language. masks.py says what is kept, checks.py what is refused, texts.py asks engines.py and memory.py for the rest.
The paper's own way (https://arxiv.org/abs/2306.04387): NLLB, for the languages in which it scores above 20 BLEU on
FLORES; flores.py measures that.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, M3IT, SHARD, UNREADABLE, Language, id_of, reason_of
from m3it.catalogue import known_instructions, source_language
from m3it.reading.load import load_builder
from m3it.rows.instance import Drop, M3ITError, ShardError, hash_of
from m3it.rows.jsonl import as_line, read_shard, refuse_others, shard_names, to_line
from m3it.rows.messages import to_messages
from m3it.translating.checks import load_identifier, reason_against_answer
from m3it.translating.engines import DECODINGS, EngineSettings, open_engine
from m3it.translating.languages import find_language
from m3it.translating.texts import Translation, Translator
from m3it.work.runner import (
    Made,
    Piece,
    Progress,
    call,
    map_shards,
    open_executor,
    silent,
    versions,
    write_drops,
    write_run,
)

TEXT_FIELDS = ("instruction", "inputs", "outputs")
WINDOW_ROWS, WINDOW_BYTES = 256, 64 << 20  # translated together: after each the time left is told anew, and a run that
# is killed has lost no more. 1,024 would take 3 % less time, 128 15 % more (bench/translate.py's texts)
ON_ERROR = ("drop", "keep", "raise")
ENGINE_PACKAGES = ("transformers", "torch", "ctranslate2", "sentencepiece", "py3langid", "sacrebleu", "openai")


def translate_rows(
    rows: Iterable[dict[str, Any]], translator: Translator, drops: list[Drop], on_error: str = "drop"
) -> Iterator[dict[str, Any]]:
    """Yield the rows in the other language, in order. A row with a text that fails its checks goes to `drops`, keeps
    the source's text ("keep") or ends the run ("raise")."""
    for window in _windows(rows):
        texts = [_texts(row) for row in window]
        said = translator.translate(text for of_row in texts for text in of_row.values())
        for row, of_row in zip(window, texts, strict=True):
            translations = {name: said[text] for name, text in of_row.items()}
            reason = _row_reason(row, translations, translator)
            if reason:
                translator.counts[f"rows: {reason}"] += 1
            if reason and (on_error == "drop" or (on_error == "keep" and not translations)):
                drops.append(Drop(id_of(row), reason))
                continue
            if reason and on_error == "raise":
                raise M3ITError(
                    f"row {id_of(row)!r} in {translator.target.code}: {reason}. Pass --on-error drop to leave such "
                    "rows out and count them, or keep to leave their text as it is."
                )
            yield _translated_row(row, of_row, translations, translator, reason)


def _texts(row: dict[str, Any]) -> dict[str, str]:
    """The texts of a row that are to be translated, by what they are: parts of its messages, if it is a conversation,
    and its fields."""
    messages = [part["text"] for part in _text_parts(_messages(row) or [])]
    named = {f"messages, text {i}": text for i, text in enumerate(messages, 1)} | {n: row[n] for n in TEXT_FIELDS}
    return {name: text for name, text in named.items() if text.strip()}


def _messages(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The messages that a mixture reads instead of the row's fields: [] for none, None for what is no conversation."""
    meta = json.loads(row["meta"])
    if meta.get("messages") is None:
        return []
    try:
        return to_messages({"id": id_of(row), "meta": meta, "images": row["image_base64_str"]})
    except ShardError:
        return None


def _text_parts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for message in messages for part in message["content"] if part["type"] == "text"]


def _windows(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows in lists of as many as are translated together."""
    window: list[dict[str, Any]] = []
    num_bytes = 0
    for row in rows:
        window.append(row)
        num_bytes += sum(map(len, row["image_base64_str"]))
        if len(window) == WINDOW_ROWS or num_bytes >= WINDOW_BYTES:
            yield window
            window, num_bytes = [], 0
    if window:
        yield window


def _row_reason(row: dict[str, Any], translations: dict[str, Translation], translator: Translator) -> str:
    """Why the row cannot stand; "" if it can. An answer that left its options is said again, by other decodings."""
    if _messages(row) is None:
        return "messages: unknown content"
    if not translations:
        return "no text"
    for name, translation in translations.items():
        if translation.reason:
            return f"{name}: {translation.reason}"
    for decoding in range(1, len(DECODINGS) + 1):
        reason = _answer_reason(row, translations)
        if not reason or decoding == len(DECODINGS):
            return reason
        again = translator.translate([row["outputs"]], decoding)[row["outputs"]]
        if not again.reason:
            translations["outputs"] = again._replace(notes=(*again.notes, f"{reason} (decoding {decoding - 1})"))
    return ""


def _answer_reason(row: dict[str, Any], translations: dict[str, Translation]) -> str:
    if "inputs" not in translations or "outputs" not in translations:
        return ""
    said = translations["inputs"].text, translations["outputs"].text
    return reason_against_answer(row["inputs"], row["outputs"], *said)


def _translated_row(
    row: dict[str, Any],
    texts: dict[str, str],
    translations: dict[str, Translation],
    translator: Translator,
    reason: str,
) -> dict[str, Any]:
    """The row with its translations, or, for a reason, with its own texts; meta says which model wrote them, and what
    happened to which."""
    meta = json.loads(row["meta"])
    notes = {name: list(translation.notes) for name, translation in translations.items() if translation.notes}
    told: dict[str, Any] = {"translated": translator.engine.model_name, "translated_from": translator.source.code}
    told |= {"translation_notes": notes} if notes else {}
    fields = {name: translation.text for name, translation in translations.items() if name in TEXT_FIELDS}
    if reason:
        fields, told = {}, {"translated": "", "translated_from": translator.source.code, "translation_kept": reason}
    elif messages := _messages(row):
        said = {texts[name]: translation.text for name, translation in translations.items()}
        for part in _text_parts(messages):
            part["text"] = said.get(part["text"], part["text"])  # what is blank was not translated
        meta["messages"] = messages
    return {**row, **fields, "meta": json.dumps({**meta, **told}, ensure_ascii=False)}


def translate(
    config: str,
    to: Iterable[str],
    settings: EngineSettings,
    repo: str = "MMInstruction/M3IT",
    out: Path | str = ".",
    *,
    split: str | None = None,
    limit: int | None = None,
    on_error: str = "drop",
    back: int = 0,
    workers: int = 1,
    cluster: str | None = None,
    progress: Progress = silent,
) -> dict[str, dict[str, Any]]:
    """Translate a config into languages; returns what the run.json of each holds. `limit`: so many rows of a split.
    `back`: how many texts of a language are translated back, for chrF. `settings.max_cost` is for this call, all its
    languages and workers together. Killed and called again, it goes on."""
    if on_error not in ON_ERROR:
        raise ValueError(f"on_error={on_error!r}: expected {', '.join(ON_ERROR)}")
    targets = list(dict.fromkeys(map(find_language, to)))
    builder = load_builder(repo, config, meta=True)
    source = source_language(builder.config.name)
    if source in targets:
        raise M3ITError(f"{config}: is in {source.code} already. Pass other languages to --to.")
    if settings.backend == "openai" and settings.max_cost is not None:
        settings, workers = _in_one_process(settings, workers, cluster), 1
    runs: dict[str, dict[str, Any]] = {}
    with open_executor(workers, cluster) as executor:
        model = call(executor, identity_of, settings, source, *targets)
        for target in targets:
            folder = Path(out) / "data" / folder_of(builder) / target.code
            options: dict[str, Any] = {"config": config, "model": model}
            options |= {"backend": settings.backend, "from": source.code, "to": target.nllb}
            options |= {"limit": limit, "on_error": on_error}
            carried = {"builder": builder, "settings": settings} | ({} if executor else {"progress": progress})
            pieces = list(plan_shards(builder, split, limit, on_error, carried))
            _require_own(folder, pieces)
            function = partial(translate_shard, source=source, target=target, on_error=on_error)
            shown = progress if executor else silent  # rows are shown where they are made here, else shards
            made = map_shards(function, pieces, folder, options, executor, shown, "translate")
            asked = (builder, pieces, folder, settings, source, target, back)
            scores = call(executor, back_translate, *asked) if back else {}
            runs[target.code] = _write_run(folder, options, made, scores)
    return runs


def _in_one_process(settings: EngineSettings, workers: int, cluster: str | None) -> EngineSettings:
    """The settings with which one process asks a server as much at a time as the workers would: what is paid is counted
    where it is asked for. What an earlier call has paid does not count."""
    if cluster:
        raise M3ITError("--max-cost: is kept by one process, a cluster has many. Pass --parallel instead of --cluster.")
    open_engine.cache_clear()
    return settings._replace(parallel=settings.parallel * workers)


def identity_of(settings: EngineSettings, *languages: Language) -> str:
    """What tells the engine from others; M3ITError unless it knows the languages."""
    engine = open_engine(settings)
    engine.require(*languages)
    return engine.identity


def _require_own(folder: Path, pieces: list[Piece]) -> None:
    """M3ITError if shards lie there that no run made, fixed by hand perhaps, or that readers would find twice."""
    found = sorted(path.name for path in folder.glob("*") if SHARD.fullmatch(path.name))
    if found and not (folder / ".work").exists():
        raise M3ITError(
            f"{folder}: holds {', '.join(found[:3])}, which this command did not make, and would be mixed with or "
            "written over. Pass another --out, or move them away."
        )
    for split, made in groupby(pieces, key=lambda piece: piece.arguments["split"]):
        refuse_others(folder, split, [piece.path for piece in made])


def folder_of(builder: M3IT) -> str:
    """<task>/<dataset> of a config."""
    name = builder.config.name
    parts = next(iter(builder.shards(name).values()))[0].split("/")
    found = parts[1] if parts[0] == "data" and len(parts) > 3 else "other"
    return f"{CATALOGUE[name].task if name in CATALOGUE else found}/{name}"


def plan_shards(
    builder: M3IT, split: str | None, limit: int | None, on_error: str, carried: dict[str, Any]
) -> Iterator[Piece]:
    """The shards to make: one for each file of the source, by split, and a file of counts beside each; with a limit,
    for the files that hold so many first rows of a split."""
    splits = builder.shards(builder.config.name)
    if split is not None and split not in splits:
        raise M3ITError(f"{builder.config.name}: there is no split {split!r}, only {', '.join(splits)}.")
    for name in [split] if split else splits:
        files = [list(group) for _, group in groupby(builder.pieces(name), key=lambda piece: piece[0])]
        limits = [None] * len(files) if limit is None else _first_rows(builder, files, limit, on_error)
        for path, pieces, rows in zip(shard_names(name, len(limits)), files, limits, strict=False):
            arguments = {"split": name, "source_hash": builder.hash, "pieces": [list(piece) for piece in pieces]}
            yield Piece(path, arguments, (f".work/counts/{path}.json",), {**carried, "limit": rows})


def _first_rows(builder: M3IT, files: list[list[Any]], limit: int, on_error: str) -> list[int]:
    """How many rows of each file are among the first `limit` of all; files that hold none of them are left out."""
    numbers: list[int] = []
    for pieces in files:
        left = limit - sum(numbers)
        if numbers and not left:
            break
        numbers.append(sum(1 for _ in islice(read_lines(builder, pieces, on_error, []), left)))
    return numbers


def read_lines(
    builder: M3IT, pieces: Iterable[Iterable[Any]], on_error: str, drops: list[Drop]
) -> Iterator[dict[str, Any]]:
    """The rows of some pieces as the fields of lines. One that cannot be read, or written again, raises with its place
    if `on_error` says so, else it is listed in `drops`."""

    def refused(path: str, offset: int, key: str, error: Exception) -> None:
        if on_error == "raise":
            builder.refuse(path, offset, key, error)  # raises
        drops.append(Drop(key, reason_of(error)))

    for path, *bounds in pieces:
        for key, row in builder.read((path, *bounds), refused=refused):
            try:
                line = as_line(row)
                to_line(line)  # before a model is asked about its texts
            except UNREADABLE as error:
                refused(path, int(key.rpartition(":")[2].partition("#")[0]), key, error)
            else:
                yield line


def translate_shard(
    path: Path,
    counts_path: Path,
    *,
    builder: M3IT,
    settings: EngineSettings,
    pieces: list[list[Any]],
    source: Language,
    target: Language,
    limit: int | None,
    on_error: str,
    progress: Progress = silent,
    **said: Any,
) -> Made:
    """Translate the rows of one source file into one shard, and write what was counted."""
    name = builder.config.name
    translator, drops = Translator(settings, source, target, known_instructions(name, target.code)), list[Drop]()
    rows = islice(read_lines(builder, pieces, on_error, drops), limit)
    num_lines = sum(1 for piece in pieces for _ in builder.lines(tuple(piece)))
    total = num_lines if limit is None else min(limit, num_lines)
    num_rows = 0
    with open(path, "wb") as file:
        for row in progress(translate_rows(rows, translator, drops, on_error), "translate", total):
            file.write(to_line(row))
            num_rows += 1
    # How many parts were asked for and how many remembered is left out: it differs after an interruption.
    counts = {**translator.counts, "parts": translator.memory.num_asked + translator.memory.num_kept}
    counts_path.write_text(json.dumps(counts, indent=1), "utf-8")
    return Made(num_rows, drops)


def _write_run(folder: Path, options: dict[str, Any], made: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """Write drops.jsonl and run.json of a language."""
    write_drops(folder / "drops.jsonl", made)
    counts: Counter[str] = Counter()
    for record in made.values():
        for counted in record["beside"]:
            with suppress(FileNotFoundError):
                counts.update(json.loads((folder / counted).read_text("utf-8")))
    records = {path: {**record, "beside": {}} for path, record in made.items()}
    more = {
        "versions": versions(*ENGINE_PACKAGES),
        "identifier": "py3langid and scripts" if load_identifier() else "scripts",
        "counts": dict(sorted(counts.items())),
    }
    return write_run(folder / "run.json", "translate", options, records, **more, **scores)


def back_translate(
    builder: M3IT,
    pieces: list[Piece],
    folder: Path,
    settings: EngineSettings,
    source: Language,
    target: Language,
    number: int,
) -> dict[str, Any]:
    """chrF of about `number` translated texts, chosen by the hash of their rows, translated back, against the
    source's; None where no row was translated."""
    from sacrebleu.metrics import CHRF

    name = builder.config.name
    made = (row for piece in pieces for row in read_shard(folder / piece.path))
    drawn = heapq.nsmallest(
        number, ((hash_of(name, id_of(row), purpose="back"), id_of(row), _text(row)) for row in made)
    )
    text_by_id = {row_id: text for _, row_id, text in drawn}
    read = (row for piece in pieces for row in read_lines(builder, piece.arguments["pieces"], "drop", []))
    source_by_id = {id_of(row): _text(row) for row in read if id_of(row) in text_by_id}
    if not source_by_id:
        return {"back_translation": {"chrf": None, "num_texts": 0}}
    said = Translator(settings, target, source).translate(text_by_id.values())
    back = [said[text_by_id[row_id]].text for row_id in source_by_id]
    metric = CHRF(word_order=2)
    score = round(metric.corpus_score(back, [list(source_by_id.values())]).score, 2)
    told = {"chrf": score, "signature": str(metric.get_signature()), "num_texts": len(source_by_id)}
    return {"back_translation": told}


def _text(row: dict[str, Any]) -> str:
    """The row's own text: what it asks or, if it asks nothing, what it answers."""
    return row["inputs"] or row["outputs"]
