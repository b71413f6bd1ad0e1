"""Other people's data sets as parts of a mixture: a builder that gives their rows in our schema.

They may be on the Hub or local, Parquet, JSON Lines, an array in JSON or WebDataset, in a shape told by the fields of
their rows:
ours        instruction, inputs, outputs, and images or image_base64_str
messages    images, messages: [{"role": "user", "content": ...}, ...], content a text or parts of type image and text,
            as TRL reads them; an <image> in a text marks a picture, as for ms-swift and LLaMA-Factory
prompt      images, prompt and completion: texts or messages, as TRL reads them, too
conversations  image or images, conversations: [{"from": "human", "value": ...}, ...], as LLaVA's
texts       images, texts: [{"user": ..., "assistant": ...}, ...], as FineVision and The Cauldron hold them
question    index, image (base64, or a JSON list), question, A, B, ..., answer: a table with tabs, as VLMEvalKit's
or in any, with a function row -> Instance. A conversation that does not fit inputs and outputs stays whole in
`meta["messages"]`; `to_messages` gives every row's messages.
"""

import io
import json
import posixpath
import re
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import unquote

from datasets.fingerprint import Hasher

from M3IT import M3IT, SPLITS, M3ITError, RangeFile, RowFilter, ShardError, read_meta, source_of
from m3it.mixing.webdataset import PICTURES, Files, as_row, group
from m3it.rows.images import ImageError, read_base64
from m3it.rows.instance import Instance
from m3it.rows.messages import from_completion, from_conversations, from_messages, from_texts, pictures

ROW_ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".tsv", ".tar")
ABOUT = re.compile(r"(?:.*/)?(?:dataset_infos?|run|config|metadata|package|mixture)\.json")  # no rows, as a rule
SPLIT_WORD = re.compile(rf"(?:^|[/_.-])({'|'.join(SPLITS)})(?=[/_.-])")
LETTERS = "ABCDEFGHIJ"
LONGEST_INDEX = 64  # VLMEvalKit takes an image of so few letters for the index of the row that has the picture
IS_URL = re.compile(r"(?!data:)[a-zA-Z][a-zA-Z0-9+.-]*://")


def as_text(meta: dict[str, Any]) -> str:
    """Meta as JSON; ShardError where it holds what JSON has no word for."""
    try:
        return json.dumps(meta, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ShardError(
            f"expected meta of texts, numbers, lists and objects ({error})", "meta is no object"
        ) from error


def as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """A row that has our columns."""
    return {name: row.get(name) for name in ("instruction", "inputs", "outputs", "meta")}


def from_question(row: dict[str, Any]) -> dict[str, Any]:
    """A row of VLMEvalKit's: a question with its hint, options in the columns A, B, ..., and an answer, where there is
    one."""
    if isinstance(row.get("image"), str) and len(row["image"]) <= LONGEST_INDEX:
        told = f"expected a picture in image, found {row['image']!r}, the index of another row. Put its picture here"
        raise ShardError(told, "no image")
    options = {letter: f"({letter}) {row[letter]}" for letter in LETTERS if row.get(letter)}
    asked = [row.get("hint"), row["question"], *(["Options:"] if options else []), *options.values()]
    answer = row.get("answer") or ""
    said = {"image", "question", "hint", "answer", "index", *LETTERS}
    meta = {name: text for name, text in row.items() if text and name not in said}
    return {
        "instruction": "",
        "inputs": "\n".join(text for text in asked if text),
        "outputs": options.get(answer, answer),
        "meta": {"id": str(row["index"]), **meta},
    }


SHAPES: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("instruction", "inputs", "outputs"): as_ours,
    ("messages",): from_messages,
    ("prompt", "completion"): from_completion,
    ("texts",): from_texts,
    ("conversations",): from_conversations,
    ("index", "question"): from_question,
}


class Other(M3IT):
    """Reads a set that is not in our layout: `convert`, or one of SHAPES, maps its rows."""

    BUILDER_CONFIGS = []
    LOOKS_AT_PICTURES = False  # a mixture decodes them itself

    def __init__(self, *, convert: Callable[[dict[str, Any]], Instance] | None = None, **options: Any):
        self.convert = convert
        self._begins_with_pictures: bool | None = None  # the first tar, once it was looked into
        self._names: dict[str, dict[str, str]] = {}  # folder -> name in NFC -> name, of those that were looked through
        if convert is not None:  # what was counted of the rows of one is not kept for another
            options["hash"] = _told_apart(convert)
        super().__init__(images=True, **options)

    def found(self) -> list[str]:
        """The folders that hold files of rows."""
        folders = {posixpath.dirname(path) for path in self._files()}
        return sorted(posixpath.basename(folder) for folder in folders if folder)

    def _files(self) -> list[str]:
        """The files of rows: those of JSON, mostly about a set, only where there are no others. A tar of pictures alone
        holds no rows."""
        files = [path for path in self.repository.files if path.endswith(ROW_ENDINGS)]
        files = [path for path in files if path not in self._tars_of_pictures()]
        return files or [path for path in self.repository.files if path.endswith(".json") and not ABOUT.fullmatch(path)]

    def _tars_of_pictures(self) -> list[str]:
        """The tars beside files of rows, where the first of them begins with pictures and no texts."""
        tars = [path for path in self.repository.files if path.endswith(".tar")]
        rows = (*ROW_ENDINGS[:-1], ".json")
        if not tars or not any(path.endswith(rows) for path in self.repository.files):
            return []
        if self._begins_with_pictures is None:
            file = RangeFile(self.repository, tars[0])
            with suppress(tarfile.TarError), tarfile.open(fileobj=file, mode="r:") as archive:
                names = [member.name for member in islice(filter(tarfile.TarInfo.isfile, archive), 20)]
                self._begins_with_pictures = all(name.lower().endswith(PICTURES) for name in names)
        return tars if self._begins_with_pictures else []

    def shards(self, config_name: str) -> dict[str, list[str]]:
        """Split -> the files whose path names it; files that name none are the training split."""
        files = self._files()
        inside = [path for path in files if path.startswith((f"{config_name}/", f"data/{config_name}/"))]
        inside = inside or [path for path in files if set(posixpath.dirname(path).split("/")) <= {"", "data", *SPLITS}]
        if not inside:
            raise self._unknown(config_name)
        splits: dict[str, list[str]] = {}
        for path in inside:
            word = SPLIT_WORD.search(path.partition(f"{config_name}/")[2] or path)
            splits.setdefault(SPLITS[word[1]] if word else "train", []).append(path)
        return splits

    @property
    def asked_of_files(self) -> RowFilter | None:
        """All but what is asked of meta, which is made of the row."""
        if self.filter is None or self.filter.expression is not None:
            return self.filter
        return self.filter.only(lambda column: not column.startswith("meta"))

    def _choose(self, name: str | None) -> str:
        return name or "default"

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        return self._members(piece) if piece[0].endswith(".tar") else super().lines(piece)

    def _members(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Files]]:
        """Yield (offset, files) of the rows of a WebDataset between two offsets."""
        path, start, stop = piece
        try:
            archive = tarfile.TarFile(fileobj=io.BytesIO(self.repository.read(path, start, stop)))
            for key, files in group(archive):
                data = [(ending, archive.extractfile(member).read()) for ending, member in files]  # type: ignore[union-attr]
                yield start + files[0][1].offset, Files(key, data)
        except tarfile.TarError as error:
            raise ShardError(f"{path}: no whole tar ({error}). Download or write it again.") from error

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
        row = as_row(row) if isinstance(row, Files) else row
        if not isinstance(row, dict):
            raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
        if self.convert is not None:
            return [self._converted(row)]
        shape = next((fields for fields in SHAPES if set(fields) <= set(row)), None)
        if shape is None:
            expected = "; or ".join(", ".join(fields) for fields in SHAPES)
            found = ", ".join(row) or "none"
            told = f"expected the fields {expected}; found {found}. Pass Part(convert=...), row -> Instance"
            raise ShardError(told, "unknown shape")
        mapped = SHAPES[shape](row)
        given = mapped.pop("meta", None) or "{}"
        meta = given if isinstance(given, dict) else read_meta({"meta": str(given)})
        row_id = row.get("id", row.get("row_id"))
        own = {"id": str(row_id)} if isinstance(row_id, (str, int)) else {}
        mapped["meta"] = as_text({**own, **meta})
        folder = posixpath.dirname(place)  # of the file of rows
        return [{**mapped, "images": [{"path": None, "bytes": self._bytes(each, folder)} for each in pictures(row)]}]

    def _converted(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the user's function makes of a row; whatever it raises becomes the row's reason."""
        try:
            instance = self.convert(row)  # type: ignore[misc]
        except M3ITError as error:
            raise ShardError(str(error), "not converted") from error
        except Exception as error:
            raise ShardError(f"convert raised {type(error).__name__}: {error}", "not converted") from error
        texts = {"instruction": instance.instruction, "inputs": instance.inputs, "outputs": instance.outputs}
        meta = as_text({"id": instance.id, **instance.meta})
        return {**texts, "images": [{"path": None, "bytes": image} for image in instance.images], "meta": meta}

    def _bytes(self, image: Any, folder: str) -> bytes:
        """An image file: its bytes, a struct that holds them, base64 text, or a path below the set's folder."""
        if isinstance(image, dict):
            image = image["bytes"] if image.get("bytes") is not None else image.get("path")
        if isinstance(image, bytes):
            return image
        if not isinstance(image, str):
            raise ShardError(f"expected an image as bytes, base64 or path, found {type(image).__name__}", "no image")
        if IS_URL.match(image):
            raise ShardError(
                f"expected an image file, found a URL: download {image[:200]} first, into the set's folder", "a URL"
            )
        if len(image) < 1024 and re.search(r"\.\w{3,4}$", image):
            return self._file(image, folder)
        try:
            return read_base64(image)
        except ImageError as error:
            raise ShardError(str(error).rstrip("."), "image is not base64") from error

    def _file(self, name: str, folder: str) -> bytes:
        """A file of the set by its path from its root or from the folder of its rows, loose or in a tar of pictures."""
        for spelled in (name, unquote(name)):  # a file server reads %2e%2e as ..
            if spelled.startswith("/") or ".." in re.split(r"[/\\]", spelled):
                told = f"expected an image file below the set's folder, found {name!r}, which lies elsewhere"
                raise ShardError(told, "image outside the set")
        if packed := self._packed.get(name) or self._packed.get(posixpath.join(folder, name)):
            return self.repository.read(*packed)
        try:
            return self._loose_file(name)
        except ShardError as error:
            if not folder or error.reason != "missing image":
                raise
            with suppress(ShardError):
                return self._loose_file(posixpath.join(folder, name))
            raise

    @cached_property
    def _packed(self) -> dict[str, tuple[str, int, int]]:
        """Path -> (tar, start, stop) of the pictures that lie in tars: as if each were unpacked where it lies, or into
        a folder of its own name."""
        found: dict[str, tuple[str, int, int]] = {}
        for path in self._tars_of_pictures():
            try:
                with tarfile.open(fileobj=RangeFile(self.repository, path), mode="r:") as archive:
                    for member in filter(tarfile.TarInfo.isfile, archive):
                        place = (path, member.offset_data, member.offset_data + member.size)
                        for folder in (posixpath.dirname(path), path.removesuffix(".tar")):
                            found[posixpath.normpath(posixpath.join(folder, member.name))] = place
            except tarfile.TarError as error:
                raise ShardError(f"{path}: no whole tar ({error}). Download or write it again.") from error
        return found

    def _loose_file(self, name: str) -> bytes:
        """A file that lies in the set's folder or below, by its name exactly, else by one that differs in Unicode
        form."""
        root, fs = self.repository.root, self.repository.fs
        path = posixpath.join(root, name)
        try:
            if name in self.repository.files:
                return self.repository.read(name, 0, self.repository.size(name))
            if not name.isascii() and not fs.exists(path):
                path = self._alike(name) or path
            if self.repository.local:
                return fs.cat_file(path)
            return self.repository._patiently(lambda: fs.cat_file(path), path)
        except (OSError, ShardError) as error:
            why = error.__cause__ or error
            if not isinstance(why, OSError):
                raise
            more = "" if isinstance(why, FileNotFoundError) else f" ({why})"
            raise ShardError(f"expected an image file {path}, found none{more}", "missing image") from error

    def _alike(self, name: str) -> str | None:
        """The path of the file whose name differs in Unicode form only: macOS writes é as two characters."""
        folder = self.repository.root
        for step in name.split("/"):
            if not self.repository.fs.isdir(folder):
                return None
            if folder not in self._names:
                found = [posixpath.basename(path) for path in self.repository.fs.ls(folder, detail=False)]
                self._names[folder] = {unicodedata.normalize("NFC", each): each for each in found}
            here = posixpath.join(folder, step)
            alike = self._names[folder].get(unicodedata.normalize("NFC", step), step)
            folder = here if self.repository.fs.exists(here) else posixpath.join(folder, alike)
        return folder


def _told_apart(convert: Callable[[dict[str, Any]], Instance]) -> str:
    """What tells a function from others; one that cannot be pickled, by its source alone."""
    try:
        return f"{Hasher.hash(convert)} {source_of(convert)}"
    except Exception:  # any: what a function holds is its author's
        return source_of(convert)
