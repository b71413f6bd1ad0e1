"""Other people's data sets as parts of a mixture: a builder that gives their rows in our schema.

They may be on the Hub or local, Parquet, JSON Lines or WebDataset, in a shape told by the fields of their rows:
ours        instruction, inputs, outputs, and images or image_base64_str
messages    images, messages: [{"role": "user", "content": ...}, ...], content a text or parts of type image and text,
            as TRL reads them; an <image> in a text marks a picture, as for ms-swift and LLaMA-Factory
texts       images, texts: [{"user": ..., "assistant": ...}, ...], as FineVision and The Cauldron hold them
or in any, with a function row -> Instance. A conversation that does not fit inputs and outputs stays whole in
`meta["messages"]`; `to_messages` gives every row's messages.
"""

import io
import json
import posixpath
import re
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

from M3IT import M3IT, SPLITS, M3ITError, ShardError
from m3it.rows.images import ImageError, read_base64
from m3it.rows.instance import Instance
from m3it.rows.messages import from_messages, from_texts, pictures

ROW_ENDINGS = (".parquet", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".tar")
SPLIT_WORD = re.compile(rf"(?:^|[/_.-])({'|'.join(SPLITS)})(?=[/_.-])")
PICTURE_ENDINGS = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")


def as_ours(row: dict[str, Any]) -> dict[str, Any]:
    """A row that has our columns."""
    return {name: row.get(name) for name in ("instruction", "inputs", "outputs", "meta")}


SHAPES: dict[tuple[str, ...], Callable[[dict[str, Any]], dict[str, Any]]] = {
    ("instruction", "inputs", "outputs"): as_ours,
    ("images", "messages"): from_messages,
    ("image", "messages"): from_messages,
    ("images", "texts"): from_texts,
}


class Other(M3IT):
    """Reads a set that is not in our layout: `convert`, or one of the three shapes, maps its rows."""

    BUILDER_CONFIGS = []
    LOOKS_AT_PICTURES = False  # a mixture decodes them itself

    def __init__(self, *, convert: Callable[[dict[str, Any]], Instance] | None = None, **options: Any):
        self.convert = convert
        super().__init__(images=True, **options)

    def found(self) -> list[str]:
        """The folders that hold files of rows."""
        folders = {posixpath.dirname(path) for path in self.repository.files if path.endswith(ROW_ENDINGS)}
        return sorted(posixpath.basename(folder) for folder in folders if folder)

    def shards(self, config_name: str) -> dict[str, list[str]]:
        """Split -> the files whose path names it; files that name none are the training split."""
        files = [path for path in self.repository.files if path.endswith(ROW_ENDINGS)]
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
        archive = tarfile.TarFile(fileobj=io.BytesIO(self.repository.read(path, start, stop)))
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
            raise ShardError(
                f"expected the fields {expected}; found {', '.join(row)}. Pass Part(convert=...), row -> Instance",
                "unknown shape",
            )
        mapped = SHAPES[shape](row)
        meta = json.loads(mapped.pop("meta", None) or "{}")
        row_id = row.get("id", row.get("row_id"))
        own = {"id": str(row_id)} if isinstance(row_id, (str, int)) else {}
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
            return read_base64(image)
        except ImageError as error:
            raise ShardError(str(error), "image is not base64") from error


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
