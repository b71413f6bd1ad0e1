"""Rows of any layout -> the files of one shard of a release, with the id, the hashes and the digest of every row.

A row's digest is the sha256 of what it says (config, split, id, texts, the sha256 of each image file); that of a split
is over the sorted digests of its rows. Both are the same for the same rows in any layout, format or order: the proof
that a release holds what its source held.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from M3IT import M3IT, Repository, check_picture, id_of, read_meta, reason_of, whole_text
from m3it.catalogue import terms_of
from m3it.publishing.columns import OWN_KINDS, FileKind
from m3it.publishing.formats import FORMATS
from m3it.reading.load import dataset_of
from m3it.reading.ratings import RowRatings, ratings_of
from m3it.reading.references import reference_fields
from m3it.rows.images import ImageError, is_plain, pybase64, read_base64, size
from m3it.rows.instance import Drop, ShardError, to_json
from m3it.rows.messages import MARK, WORD, split_answer, text_of, to_messages
from m3it.work.runner import Made

FILE_KINDS = OWN_KINDS | {kind: made for format in FORMATS.values() for kind, made in format.KINDS.items()}
GROUP_ROWS, GROUP_BYTES = 100, 100_000_000  # of a row group with pictures, whichever comes first
GROUP_TEXTS = 1000  # rows of one without: of millions in groups of 100 the footer alone would take 300 MB to read


def write_shard(
    *paths: Path, builder: M3IT, config: str, split: str, kinds: list[str], about: dict[str, str], pieces: list[Any],
    source: str, rated: bool = False, ratings: RowRatings | None = None,
) -> Made:  # fmt: skip
    """Write the rows of some pieces into one file of each kind (a name in FILE_KINDS), and their texts and digests
    into the last file. `rated`: whether these have the columns of ratings; `ratings`: those that rows get."""
    drops: list[Drop] = []
    num_rows = 0
    with ExitStack() as stack:
        opened = zip([*kinds, "rows"], paths, strict=True)
        writers = [stack.enter_context(file_kind(kind, rated).open_writer(path)) for kind, path in opened]
        options: dict[str, Any] = {"keep_base64": "base64" in kinds, "decode": builder.config.on_error == "drop"}
        options |= {"converse": kinds != ["base64"], "ratings": ratings}
        for group in groups(instances(builder, config, split, pieces, drops, **options)):
            for writer in writers:
                writer.write(group, about)
            num_rows += len(group)
    check_unchanged(builder.repository, {piece[0] for piece in pieces})
    return Made(num_rows, drops)


def file_kind(kind: str, rated: bool = False) -> FileKind:
    """The kind of file of a name in FILE_KINDS, with the columns of ratings where there are some."""
    return FILE_KINDS[kind].rated() if rated else FILE_KINDS[kind]


def groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Rows as they share a row group."""
    group: list[dict[str, Any]] = []
    num_bytes = num_shown = 0  # of the pictures; of the rows with some
    for row in rows:
        row_bytes = sum((len(file) + 2) // 3 * 4 for file in row["files"])  # as base64, the larger of the two
        is_full = num_shown == GROUP_ROWS or len(group) == GROUP_TEXTS or num_bytes + row_bytes > GROUP_BYTES
        if group and is_full:
            yield group
            group, num_bytes, num_shown = [], 0, 0
        group.append(row)
        num_bytes += row_bytes
        num_shown += bool(row["files"])
    if group:
        yield group


def instances(
    builder: M3IT, config: str, split: str, pieces: Iterable[Any], drops: list[Drop], *, keep_base64: bool = False,
    decode: bool = False, converse: bool = False, ratings: RowRatings | None = None,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The rows of some pieces with all that a release says of them. What cannot be read raises, or is listed in `drops`
    where the builder's config says on_error="drop"; `decode`: with it what is half a picture, too. `converse`: as
    question and answer, with what an answer is compared with. `ratings`: what goes into their meta."""

    def refused(path: str, offset: int, key: str, error: Exception) -> None:
        if builder.config.on_error != "drop":
            builder.refuse(path, offset, key, error)  # raises
        drops.append(Drop(key, reason_of(error)))  # no list in the cache of a worker's machine

    excluded, dataset = builder.excluded(split), dataset_of(builder)
    for path, *bounds in pieces:
        for key, row in builder.read((path, *bounds), refused=refused):
            if reason := builder.why_left_out(row, excluded):
                drops.append(Drop(id_of(row), reason))
                continue
            try:
                complete_row(row, config, split, path, decode)
                if ratings and row["row_id"] in ratings:
                    row["meta"] = to_json({**read_meta(row), "ratings": ratings[row["row_id"]]})
                row |= terms_of(dataset, meta := read_meta(row)) | {"image_attribution": credits_of(meta)}
                row |= ratings_of(meta)
                if converse:
                    complete_conversation(row, config)
            except (ImageError, ShardError, UnicodeError) as error:
                image = "image cannot be read" if "files" in row else "image is not base64"
                reason = "broken text" if isinstance(error, UnicodeError) else image
                if isinstance(error, ShardError) and "digest" in row:  # its pictures are whole
                    reason = error.reason
                refused(path, int(key.rpartition(":")[2].partition("#")[0]), key, ShardError(str(error), reason))
            else:
                if not keep_base64:
                    row.pop("image_base64_str", None)  # memory for texts of no use costs a twentieth of the time
                yield row


def complete_row(row: dict[str, Any], config: str, split: str, path: str, decode: bool = False) -> None:
    """Add to a row its id, its image files, their hashes and number, the size of the first, and the row's digest.
    `decode`: pictures are looked at as a whole, not by their headers alone."""
    stored = row.get("images")  # as bytes, where the source is a release
    found = [image["bytes"] for image in stored] if stored else [read_base64(text) for text in row["image_base64_str"]]
    row["files"] = found
    files = [file if is_plain(file) and not decode else check_picture(file, decode) for file in found]
    if files != found and "image_base64_str" in row:
        row["image_base64_str"] = [pybase64.b64encode(file).decode() for file in files]
    row["files"], row["num_images"] = files, len(files)
    row["row_id"] = id_of(row)
    row["source_file"] = row.get("source_file") or path
    row["image_sha256"] = [hashlib.sha256(file).hexdigest() for file in files]
    sizes = [size(file) for file in files]  # by their headers, of each: one that has none keeps the viewer from a page
    row["width"], row["height"] = sizes[0] if sizes else (None, None)
    row["digest"] = row_digest(config, split, row["row_id"], row, row["image_sha256"])


def credits_of(meta: dict[str, Any]) -> str:
    """The pages that name the authors of a row's pictures, a line each: a list would keep the viewer from counting."""
    said = meta.get("image_attribution") or []
    return "\n".join(map(str, said if isinstance(said, list) else [said]))


def complete_conversation(row: dict[str, Any], config: str) -> None:
    """Add to a row its `messages`, in our form; `prompt` and `completion` as TRL reads them, which puts the pictures
    before the question by itself; and `references`, what our metrics compare an answer with."""
    asked = {**row, "id": row["row_id"], "images": row["files"], "meta": read_meta(row)}
    row["messages"] = to_messages(asked)
    prompt, completion = split_answer(row["messages"], row["row_id"])
    row["prompt"], row["completion"] = as_texts(prompt), as_texts(completion)
    row["references"] = [whole_text(text, "meta") for text in reference_fields(config, asked)["references"]]


def as_texts(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Messages whose contents are texts alone. An <image> that one speaks of gets blanks, as in our other formats: a
    processor would take it for a place of a picture."""
    said = [(message["role"], text_of(message).replace(MARK, WORD)) for message in messages]
    return [{"role": whole_text(role, "meta"), "content": whole_text(text, "meta")} for role, text in said]


def check_unchanged(repository: Repository, paths: set[str]) -> None:
    """ShardError if one of the files that a shard was made of is no longer the one that was listed."""
    for path in sorted(paths):
        repository.check_unchanged(path)


def row_digest(config: str, split: str, row_id: str, row: dict[str, Any], image_sha256: list[str]) -> bytes:
    """sha256 of what a row says, 32 bytes."""
    texts = [row["instruction"], row["inputs"], row["outputs"]]
    return hashlib.sha256(
        json.dumps([config, split, row_id, *texts, image_sha256], ensure_ascii=False).encode()
    ).digest()


def split_digest(digests: Iterable[bytes]) -> str:
    """sha256 over the digests of a split's rows, as hex."""
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()


def read_digests(builder: M3IT, split: str) -> tuple[list[bytes], list[Drop], Counter[tuple[str, str, str]]]:
    """The digests of a split's rows, its drops, and (dataset, license, image_license) -> rows, by reading all of it."""
    drops: list[Drop] = []
    digests, terms = [], Counter[tuple[str, str, str]]()
    for row in instances(builder, builder.config.name, split, builder.pieces(split), drops):
        digests.append(row["digest"])
        terms[dataset_of(builder), row["license"], row["image_license"]] += 1
    return digests, drops, terms
