"""The parts of a mixture: configs of a repository in our layout (of any age), and other people's data sets, all read through the builder.

Other sets, on the Hub or local, as Parquet, JSON Lines or WebDataset, in a shape told by their fields, or with a function row -> Instance:
ours            instruction, inputs, image_base64_str or images, outputs
messages        images, messages: [{"role": "user", "content": text or [{"type": "image"}, {"type": "text", "text": ...}]}, ...], as TRL reads them
texts           images, texts: [{"user": ..., "assistant": ...}, ...], as FineVision and The Cauldron hold them
A conversation that does not fit inputs and outputs stays whole in `meta["messages"]`; `to_messages` gives every row's messages.
"""

import base64
import binascii
import difflib
import io
import json
import os
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from m3it.index import load_index
from m3it.instance import Instance
from m3it.layouts import choose_builder, layout
from m3it.legacy import Converted, Legacy
from m3it.legacy80 import Legacy80
from M3IT import CATALOGUE, LANGUAGES, M3IT, SPLITS, M3ITError, RangeFile, Repository, ShardError, find_shards

KINDS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".tar")
SPLIT_WORD = re.compile(rf"(?:^|[/_.-])({'|'.join(SPLITS)})(?=[/_.-])")
PICTURE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
COPY_BYTES = 256 << 20  # a split over a network up to this size is copied into the cache, and then read in any order
PIECE_BYTES = 4 << 20  # what is read at once of a bigger one: 64 lanes hold two or three each
BLOCK_BYTES = 16 << 20


@dataclass(frozen=True)
class Part:
    """One data set of a mixture. `name`: a config of a repository in our layout, or the folder of another set (none: its top).

    `convert` makes an Instance of a row of a shape that we do not know. `license` counts where a mixture asks for commercial use.
    """

    path: str
    name: str = ""
    split: str = "train"
    convert: Callable[[dict[str, Any]], Instance] | None = None
    license: str = ""
    revision: str | None = None

    @property
    def label(self) -> str:
        """What weights and tables call it."""
        return self.name or Path(self.path.rstrip("/")).name.split(".")[0]


def known(config: str) -> tuple[str, str] | None:
    """(dataset, language) of one of the 600 configs, None of any other."""
    if config in CATALOGUE:
        return config, CATALOGUE[config].language
    names = {f"{d.name}-{code}": (d.name, code) for d in CATALOGUE.values() if d.translated for code in LANGUAGES}
    return names.get(config)


# ---- other people's sets


class Other(M3IT):
    """Reads a set that is not in our layout: `convert`, or one of the three shapes, maps its rows."""

    BUILDER_CONFIGS = []

    def __init__(self, *, convert: Callable[[dict[str, Any]], Instance] | None = None, **options: Any):
        self.convert = convert
        super().__init__(images=True, **options)

    def found(self) -> list[str]:
        """The folders that hold files of rows."""
        folders = {posixpath.dirname(path) for path in self.repository.files if path.endswith(KINDS)}
        return sorted(posixpath.basename(folder) for folder in folders if folder)

    def shards(self, config_name: str) -> dict[str, list[str]]:
        """Split -> the files whose path names it; files that name none are the training split. A folder by the config's name comes first."""
        files = [path for path in self.repository.files if path.endswith(KINDS)]
        inside = [path for path in files if path.startswith((f"{config_name}/", f"data/{config_name}/"))]
        inside = inside or [path for path in files if set(posixpath.dirname(path).split("/")) <= {"", "data", *SPLITS}]
        if not inside:
            raise self._unknown(config_name)
        splits: dict[str, list[str]] = {}
        for path in inside:
            word = SPLIT_WORD.search(path.partition(f"{config_name}/")[2] or path)
            splits.setdefault(SPLITS[word[1]] if word else "train", []).append(path)
        return splits

    def _choose(self, name: str | None) -> str:
        return name or "default"

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        return self._members(piece) if piece[0].endswith(".tar") else super().lines(piece)

    def _members(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (offset, row) of the rows of a WebDataset between two offsets: consecutive files with one key."""
        path, start, stop = piece
        archive = tarfile.open(fileobj=io.BytesIO(self.repository.read(path, start, stop)))
        row: dict[str, Any] = {}
        offset = 0
        for member in archive:
            key, ending = split_name(member.name)
            if not member.isfile() or key is None:
                continue
            if row and row["__key__"] != key:
                yield start + offset, row
                row = {}
            if not row:
                row, offset = {"__key__": key}, member.offset
            add_member(row, ending, archive.extractfile(member).read())  # type: ignore[union-attr]
        if row:
            yield start + offset, row

    def map_row(self, row: Any, place: str) -> list[dict[str, Any]]:
        if not isinstance(row, dict):
            raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
        if self.convert is not None:
            return [self._converted(row)]
        shape = next((fields for fields in SHAPES if set(fields) <= set(row)), None)
        if shape is None:
            expected = "; or ".join(", ".join(fields) for fields in SHAPES)
            raise ShardError(f"expected the fields {expected}; found {', '.join(row)}. Pass Part(convert=...), row -> Instance", "unknown shape")
        mapped = SHAPES[shape](row)
        meta = json.loads(mapped.pop("meta", None) or "{}")
        own = {"id": str(row["id"])} if isinstance(row.get("id"), (str, int)) else {}
        mapped["meta"] = json.dumps({**own, **meta}, ensure_ascii=False)
        return [{**mapped, "images": [{"path": None, "bytes": self._bytes(image)} for image in pictures(row)]}]

    def _converted(self, row: dict[str, Any]) -> dict[str, Any]:
        """What the user's function makes of a row; whatever it raises becomes the row's reason."""
        try:
            instance = self.convert(row)  # type: ignore[misc]
        except M3ITError as error:
            raise ShardError(str(error), "not converted") from error
        except Exception as error:
            raise ShardError(f"convert raised {type(error).__name__}: {error}", "not converted") from error
        texts = {"instruction": instance.instruction, "inputs": instance.inputs, "outputs": instance.outputs}
        meta = json.dumps({"id": instance.id, **instance.meta}, ensure_ascii=False)
        return {**texts, "images": [{"path": None, "bytes": image} for image in instance.images], "meta": meta}

    def _bytes(self, image: Any) -> bytes:
        """An image file: its bytes, a struct that holds them, base64 text, or a path below the set's folder."""
        if isinstance(image, dict):
            image = image["bytes"] if image.get("bytes") is not None else image.get("path")
        if isinstance(image, bytes):
            return image
        if not isinstance(image, str):
            raise ShardError(f"expected an image as bytes, base64 or path, found {type(image).__name__}", "no image")
        if len(image) < 1024 and re.search(r"\.\w{3,4}$", image):
            path = posixpath.join(self.repository.root, image)
            try:
                return self.repository.fs.cat_file(path)
            except FileNotFoundError as error:
                raise ShardError(f"expected an image file {path}, found none", "missing image") from error
        try:
            return base64.b64decode(image.partition(",")[2] if image.startswith("data:") else image, validate=True)
        except binascii.Error as error:
            raise ShardError(f"expected base64: {error}", "image is not base64") from error


def pictures(row: dict[str, Any]) -> list[Any]:
    """The images of a row under any of their names, in order."""
    for name in ("images", "image_base64_str", "image"):
        if row.get(name) is not None:
            return row[name] if isinstance(row[name], list) else [row[name]]
    return []


def split_name(name: str) -> tuple[str | None, str]:
    """Key and ending of a file of a WebDataset: the key goes to the first dot of the file's name."""
    folder, _, file = name.rpartition("/")
    key, dot, ending = file.partition(".")
    return (posixpath.join(folder, key) if key and dot else None), ending


def add_member(row: dict[str, Any], ending: str, data: bytes) -> None:
    """Put one file of a WebDataset row where the shapes look for it."""
    kind = ending.rpartition(".")[2].lower()
    if kind in PICTURE_ENDINGS:
        row.setdefault("images", []).append({"path": None, "bytes": data})
    elif kind == "json":
        value = json.loads(data)
        row.update(value if isinstance(value, dict) else {ending.rpartition(".")[0] or "texts": value})
        row.setdefault("images", [])
    else:
        row[ending] = data.decode("utf-8") if kind in ("txt", "text", "cls") else data


def as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """A row that has our columns."""
    return {name: row.get(name) for name in ("instruction", "inputs", "outputs", "meta")}


def from_messages(row: dict[str, Any]) -> dict[str, Any]:
    """A row of TRL's shape: one question and one answer become inputs and outputs; a longer conversation stays in meta too."""
    messages = [{"role": message["role"], "content": _content(message["content"])} for message in row["messages"]]
    asked = [message for message in messages if message["role"] == "user"]
    answers = [message for message in messages if message["role"] == "assistant"]
    if not asked or not answers:
        raise ShardError(f"expected messages of a user and an assistant, found {', '.join(m['role'] for m in messages) or 'none'}", "no answer")
    placed = any(part["type"] == "image" for message in messages for part in message["content"])
    simple = len(messages) == 2 and (not placed or [part["type"] for part in asked[0]["content"]] == ["image"] * len(pictures(row)) + ["text"])
    if not placed:
        asked[0]["content"] = [{"type": "image"}] * len(pictures(row)) + asked[0]["content"]
    meta = {} if simple else {"messages": messages}
    return {"instruction": "", "inputs": _text(asked[0]), "outputs": _text(answers[-1]), "meta": json.dumps(meta, ensure_ascii=False)}


def from_texts(row: dict[str, Any]) -> dict[str, Any]:
    """A row of FineVision's shape: its turns as messages, the images before the first."""
    turns = row["texts"]
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and {"user", "assistant"} <= set(turn) for turn in turns):
        raise ShardError('expected texts as [{"user": ..., "assistant": ...}]', "no answer")
    messages = [{"role": role, "content": turn[role]} for turn in turns for role in ("user", "assistant")]
    return from_messages({"images": pictures(row), "messages": messages})


SHAPES: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("instruction", "inputs", "outputs"): as_ours,
    ("images", "messages"): from_messages,
    ("image", "messages"): from_messages,
    ("images", "texts"): from_texts,
}


def _content(content: Any) -> list[dict[str, Any]]:
    """The parts of a message: images without their pixels, texts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list) or not all(isinstance(part, dict) and part.get("type") in ("image", "text") for part in content):
        raise ShardError(f"expected a text, or parts of type image and text, found {json.dumps(content, default=str)[:80]}", "unknown content")
    return [{"type": "text", "text": part.get("text") or ""} if part["type"] == "text" else {"type": "image"} for part in content]


def _text(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def to_messages(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row of a mixture, for a chat template: images first, then instruction and inputs on lines of their own, then the answer.

    ShardError, with the row id, where a conversation marks another number of images than the row has.
    """
    messages = row["meta"].get("messages")
    if messages is None:
        prompt = "\n".join(text for text in (row["instruction"], row["inputs"]) if text)
        content = [{"type": "image"} for _ in row["images"]] + [{"type": "text", "text": prompt}]
        answer = [{"type": "text", "text": row["outputs"]}]
        return [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    marked = sum(part["type"] == "image" for message in messages for part in message["content"])
    if marked != len(row["images"]):
        raise ShardError(f"{row['id']}: the messages have {marked} places for images, the row has {len(row['images'])}", "images lost")
    return messages


# ---- how its rows are read


class Indexed:
    """A split whose rows can be read one by one: of each file, where its lines begin. `counts`: rows per line of each
    file, where a line may hold several."""

    order = "full shuffle"
    sizes = None
    row_bytes = 0  # none are held

    def __init__(
        self, builder: M3IT, paths: list[str], starts: list[np.ndarray], counts: list[np.ndarray] | None = None
    ):
        self.builder, self.paths, self.starts, self.counts = builder, paths, starts, counts
        self.ends = np.cumsum([len(array) - 1 for array in starts] if counts is None else [a.sum() for a in counts])
        self.num_rows = int(self.ends[-1])
        self._lines = [np.cumsum(array) for array in counts or ()]  # the rows that end with each line

    def read(self, number: int) -> tuple[str, dict[str, Any]] | None:
        """(key, row) of a row by its number; None if it was dropped."""
        file = int(self.ends.searchsorted(number, "right"))
        line, ending = number - (int(self.ends[file - 1]) if file else 0), ""
        if self.counts is not None:
            row, line = line, int(self._lines[file].searchsorted(line, "right"))
            if self.counts[file][line] > 1:
                ending = f"#{row - int(self._lines[file][line] - self.counts[file][line])}"
        piece = (self.paths[file], int(self.starts[file][line]), int(self.starts[file][line + 1]))
        return next((keyed for keyed in self.builder.read(piece) if keyed[0].endswith(ending)), None)

    def __getstate__(self) -> dict[str, Any]:
        # A memory-mapped index travels as its name: workers map it again instead of getting a copy.
        starts = [array.filename if isinstance(array, np.memmap) else array for array in self.starts]
        return {**vars(self), "starts": starts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.starts = [a if isinstance(a, np.ndarray) else np.load(a, mmap_mode="r") for a in self.starts]


class Line:
    """In place of a builder's `lines`, for pieces that are one whole line each: nothing is read beyond it."""

    def __init__(self, repository: Repository):
        self.repository = repository

    def __call__(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, bytes]]:
        yield piece[1], self.repository.read(*piece)


class Grouped:
    """A split that is read a unit at a time: row groups of Parquet, whose rows are counted, or pieces of text over a network, estimated."""

    def __init__(self, builder: M3IT, pieces: list[tuple[str, int, int]], sizes: np.ndarray, row_bytes: int, firsts: np.ndarray | None = None):
        self.builder, self.pieces, self.sizes, self.row_bytes, self.firsts = builder, pieces, sizes, row_bytes, firsts
        self.num_rows = int(sizes.sum())
        self.order = "row groups, shuffled in windows" if firsts is not None else "pieces, shuffled in windows; rows estimated"

    def read(self, unit: int) -> list[tuple[str, dict[str, Any]] | None]:
        """(key, row) of every row of a unit; in a row group None stands for one that was dropped. Of a piece without rows: those of the next."""
        if self.firsts is not None:
            found = {int(key.rpartition(":")[2]): (key, row) for key, row in self.builder.read(self.pieces[unit])}
            return [found.get(int(self.firsts[unit]) + i) for i in range(int(self.sizes[unit]))]
        for after in range(len(self.pieces)):
            rows = list(self.builder.read(self.pieces[(unit + after) % len(self.pieces)]))
            if rows:
                return rows
        raise ShardError(f"{self.builder.config.name}: no row of it can be read")


def open_builder(part: Part, repository: Repository, on_error: str, cache_dir: str | None, token: Any = None) -> M3IT:
    """The builder of a part: one of ours where the repository is in our layout or a published one, else `Other`."""
    pinned = part.revision not in (None, "main") or "@" in part.path
    options: dict[str, Any] = {"cache_dir": cache_dir, "on_error": on_error, "token": token, "meta": True}
    kind = layout(repository)
    if part.convert is None and (find_shards(repository) or issubclass(kind, Legacy) and kind is not Converted):
        kind, repository = choose_builder(repository, part.name, pinned, token, cache_dir)
        return kind(repository=repository, config_name=part.name, repo_id=repository.repo_id, **options)
    name = part.name or part.label
    other = Other(repository=repository, config_name=name, repo_id=repository.repo_id, convert=part.convert, **options)
    other.shards(name)  # raises where there are none
    return other


def open_repository(path: str, revision: str | None, token: Any, storage_options: dict[str, Any] | None, cache_dir: str | None) -> Repository:
    """The repository at a path; of a single file, its folder with that file alone."""
    folder = os.path.expanduser(path)
    if not os.path.isfile(folder):
        return Repository(path, revision, token, storage_options, cache_dir)
    repository = Repository(os.path.dirname(os.path.abspath(folder)))
    repository.files = {os.path.basename(folder): {"size": os.path.getsize(folder), "mtime": os.path.getmtime(folder), "type": "file"}}
    return repository


def open_rows(builder: M3IT, split: str, cache: Path) -> Indexed | Grouped:
    """How the rows of a split are read, by the kind, size and place of its files; what was counted is kept in the cache."""
    name = builder.config.name
    shards = builder.shards(name)
    if split not in shards:
        raise ValueError(f"{name} has no split {split!r}; it has {', '.join(shards) or 'none'}.")
    paths, repository = shards[split], builder.repository
    if isinstance(builder, Legacy):
        builder.pieces(split)  # reads the small files beside the rows, which then travel along
    if isinstance(builder, Legacy80):
        return _joined(builder, split)
    if paths[0].endswith(".parquet"):
        builder.config.images = True  # bytes as they are, not by way of base64
        return _row_groups(builder, paths, cache)
    remote = _is_remote(repository)
    size = sum(repository.size(path) for path in paths)
    if remote and size > COPY_BYTES and all(path.endswith(".jsonl") for path in paths):
        return _pieces(builder, paths, cache)
    copies = {path: _copy(repository, path, cache) if remote or path.endswith((".gz", ".zst")) else Path(repository.root, path) for path in paths}
    builder.repository = mirror = Copies(repository, copies)
    readable = [mirror.plain(path) for path in paths]
    starts = [_tar_starts(copies[path], cache) if path.endswith(".tar") else load_index(copies[path], cache) for path in paths]
    counts = None
    if isinstance(builder, Legacy):
        counts = [_counts(builder, path, array, cache) for path, array in zip(readable, starts, strict=True)]
    if not paths[0].endswith(".tar"):
        builder.lines = Line(mirror)
    return Indexed(builder, readable, starts, counts)


def _is_remote(repository: Repository) -> bool:
    protocol = repository.fs.protocol
    return repository.commit is not None or "file" not in ([protocol] if isinstance(protocol, str) else protocol)


class Copies(Repository):
    """A repository some of whose files are read from local copies; one that was unpacked goes by its name without the ending."""

    def __init__(self, repository: Repository, copies: dict[str, Path]):
        vars(self).update(vars(repository))
        self.copies = {self.plain(path): str(copy) for path, copy in copies.items()}
        self.names = {self.plain(path): path for path in copies}
        self._open: dict[str, int] = {}

    @staticmethod
    def plain(path: str) -> str:
        return path.removesuffix(".gz").removesuffix(".zst")

    def original(self, key: str) -> str:
        """A row's key by the name of the file that was unpacked."""
        path, colon, place = key.rpartition(":")
        return f"{self.names.get(path, path)}{colon}{place}"

    def size(self, path: str) -> int:
        return os.path.getsize(self.copies[path]) if path in self.copies else super().size(path)

    def read(self, path: str, start: int, stop: int) -> bytes:
        if path not in self.copies:
            return super().read(path, start, stop)
        if path not in self._open:
            self._open[path] = os.open(self.copies[path], os.O_RDONLY)
        data = os.pread(self._open[path], stop - start, start)
        if len(data) != stop - start:
            raise ShardError(f"{self.copies[path]}: asked for {stop - start} bytes from {start} on, got {len(data)}. Has it changed?")
        return data

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_open": {}}


def _joined(builder: Legacy80, split: str) -> Indexed:
    """Rows of M3IT-80, told apart by their numbers; the file of pictures is fetched whole, as for `load_dataset`."""
    import huggingface_hub

    path, repository = builder.pictures_path(split), builder.repository
    if repository.commit:
        huggingface_hub.hf_hub_download(
            str(repository.repo_id), path, repo_type="dataset", revision=repository.commit, token=builder.token
        )
    return Indexed(builder, [path], [np.arange(len(builder.texts(path)) + 1)])


def _row_groups(builder: M3IT, paths: list[str], cache: Path) -> Grouped:
    """The row groups of Parquet files, by their footers."""
    pieces, sizes, size_bytes = [], [], 0
    for path in paths:
        found = kept(cache, f"groups {builder.repository.identity([path])} {path}", lambda path=path: _groups(builder.repository, path))
        pieces += [(path, begin, begin + 1) for begin in found[0].tolist()]
        sizes.append(found[1])
        size_bytes += int(found[2].sum())
    counted = np.concatenate(sizes)
    firsts = np.concatenate([np.cumsum(array) - array for array in sizes])
    filled = np.flatnonzero(counted)
    rows = max(1, int(counted.sum()))
    return Grouped(builder, [pieces[i] for i in filled], counted[filled], size_bytes // rows, firsts[filled])


def _groups(repository: Repository, path: str) -> np.ndarray:
    """(3, row groups): where each begins, its rows, its bytes."""
    metadata = pyarrow.parquet.ParquetFile(RangeFile(repository, path)).metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    begins = [min(filter(None, (g.column(0).dictionary_page_offset, g.column(0).data_page_offset))) for g in groups]
    return np.array([begins, [g.num_rows for g in groups], [g.total_byte_size for g in groups]], np.int64).reshape(3, -1)


def _pieces(builder: M3IT, paths: list[str], cache: Path) -> Grouped:
    """Pieces of JSON Lines over a network; their rows are estimated from the first one that has any."""
    pieces = []
    for path in paths:
        size = builder.repository.size(path)
        count = max(1, round(size / PIECE_BYTES))
        bounds = [size * i // count for i in range(count + 1)]
        pieces += [(path, start, stop) for start, stop in zip(bounds, bounds[1:], strict=False)]

    def estimate() -> np.ndarray:
        counts = ((sum(1 for _ in builder.read(piece)), piece[2] - piece[1]) for piece in pieces)
        rows, size_bytes = next((pair for pair in counts if pair[0]), (0, 1))
        return np.array([size_bytes // rows if rows else 0])

    row_bytes = int(kept(cache, f"estimate {builder.hash} {builder.repository.identity(paths)} {paths}", estimate)[0])
    if not row_bytes:
        raise ShardError(f"{builder.config.name}: no row of it can be read")
    sizes = np.array([max(1, round((stop - start) / row_bytes)) for _, start, stop in pieces])
    return Grouped(builder, pieces, sizes, row_bytes)


def _counts(builder: M3IT, path: str, starts: np.ndarray, cache: Path) -> np.ndarray:
    """Rows per line of a raw file, whose lines may hold several answers: all are mapped once. A line that cannot be mapped counts as one row."""

    def count() -> np.ndarray:
        rows = np.zeros(len(starts) - 1, np.int64)
        for key, _ in builder.read((path, 0, int(starts[-1]))):
            offset, _, number = key.rpartition(":")[2].partition("#")
            line = np.searchsorted(starts, int(offset))
            rows[line] = max(rows[line], int(number or 0) + 1)
        return np.maximum(rows, 1)

    return kept(cache, f"counts {builder.hash} {builder.repository.identity([path])} {path}", count)


def _tar_starts(path: Path, cache: Path) -> np.ndarray:
    """Where the rows of a WebDataset begin, and the end of the last one."""

    def scan() -> np.ndarray:
        starts, last, end = [], None, 0
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, _ = split_name(member.name)
                if member.isfile() and key is not None:
                    starts += [member.offset] if key != last else []
                    last, end = key, member.offset_data + -(-member.size // 512) * 512
        return np.array([*starts, end], np.int64)

    stat = path.stat()
    return kept(cache, f"tar {path} {stat.st_size} {stat.st_mtime_ns}", scan)


def _copy(repository: Repository, path: str, cache: Path) -> Path:
    """A local copy of a file, unpacked if it is compressed, made once."""
    target = cache / "m3it-files" / f"{digest(repository.identity([path]) + ' ' + path)}{Path(Copies.plain(path)).suffix}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        source: Any = RangeFile(repository, path)
        if path.endswith((".gz", ".zst")):
            kind = "gzip" if path.endswith(".gz") else "zstd"
            source = pyarrow.CompressedInputStream(pyarrow.PythonFile(source, mode="r"), kind)
        with open(unfinished, "wb") as file:
            while block := source.read(BLOCK_BYTES):
                file.write(block)
        os.replace(unfinished, target)
    return target


def kept(cache: Path, what: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What `make` returns, from the cache if it was made before; memory-mapped, so that workers share it."""
    file = cache / "m3it-index" / f"{digest(what)}.npy"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(f".{file.stem}.{os.getpid()}.npy")
        np.save(unfinished, make())
        os.replace(unfinished, file)
    return np.load(file, mmap_mode="r")


def digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]
