"""M3IT-80 as it lies on the Hub: the texts of 80 languages in one file each, the pictures once, beside them.

    data/okvqa/okvqa_train_zh.jsonl      {"input": ..., "output": ...}        small
    data/okvqa/train_500.jsonl           {"image_str": ..., ...}              raw English rows, up to 1.6 GB (vist)
    data/instructions/zh.jsonl           translated instructions

Row n of the texts belongs to row n of the pictures. A piece is a range of row numbers, so that workers share a split.
Of a file on disk an index tells where rows begin. A Hub repository's pictures are downloaded before a split is
prepared, once for all languages, into the Hub's own cache; streamed, nothing is: where rows begin is learnt by reading
on, and whether the files are equally long shows at the end.
"""

import functools
import itertools
import json
import os
import posixpath
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import datasets
import huggingface_hub
from fsspec.implementations.local import LocalFileSystem

from M3IT import M3IT, SPLITS, Repository, cut, parse, read_rows
from m3it.reading.published.fields import (
    IMAGES,
    INPUTS,
    INSTRUCTIONS,
    OUTPUTS,
    as_images,
    by_names,
    images_in,
    only,
    own_id,
)
from m3it.reading.published.files import SPLIT_WORD, check_file, read_text
from m3it.reading.published.raw import Legacy
from m3it.reading.published.table import INF
from m3it.reading.row_index import load_index
from m3it.rows.instance import M3ITError, ShardError

TRANSLATED = re.compile(r"data/([^/]+)/\1_(train|validation|test)_([a-z]+)\.jsonl")
STEP_BYTES = 1 << 18  # read at once, at least, where it is not known where rows begin


class Joined(NamedTuple):
    """A line of pictures and the line of texts that belongs to it."""

    pictures: bytes
    texts: bytes

    @property
    def fields(self) -> list[str]:
        return [*parse(self.pictures), *parse(self.texts)]


class Legacy80(Legacy):
    """Reads one config of M3IT-80. The row with the pictures gives the id: it is one in 80 languages, as is the choice
    of the instruction."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kept_texts: dict[str, list[bytes]] = {}
        self.kept_pictures: dict[str, Pictures] = {}
        super().__init__(*args, **kwargs)

    @classmethod
    def about(cls, repository: Repository, name: str) -> tuple[str, str, set[str]]:
        return INF, "names of the fields of texts and instructions not seen", set(translated(repository).get(name, ()))

    @property
    def dataset(self) -> str:
        return posixpath.basename(self.folder)

    @property
    def instructions_path(self) -> str:
        (texts,) = next(iter(self.shards(self.config.name).values()))
        return f"data/instructions/{TRANSLATED.findall(texts)[0][2]}.jsonl"

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        return list(translated(repository))

    def shards(self, config_name: str) -> dict[str, list[str]]:
        found = translated(self.repository).get(config_name)
        if not found:
            raise self._unknown(config_name)
        return {split: [found[split]] for split in dict.fromkeys(SPLITS.values()) if split in found}

    def pieces(self, split: str) -> list[tuple[str, int, int]]:
        """(file of pictures, first row, the row after the last): as many as the file would be cut into."""
        assert self.companions is not None  # read before there are workers, it travels to them
        path = self.pictures_path(split)
        num_rows, num_pictures = len(self.texts(path)), self.pictures(path).num_rows
        if num_pictures not in (None, num_rows):
            raise ShardError(self.unequal(path, num_pictures))
        count = max(1, min(num_rows, len(cut(self.repository, [path]))))
        bounds = [num_rows * i // count for i in range(count + 1)]
        return [(path, first, stop) for first, stop in itertools.pairwise(bounds)]

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        commit = self.repository.commit
        for split in self.shards(self.config.name) if commit and not dl_manager.is_streaming else ():
            path = self.pictures_path(split)
            huggingface_hub.hf_hub_download(
                self.repository.repo_id, path, repo_type="dataset", revision=commit, token=self.token
            )
        return super()._split_generators(dl_manager)

    def read(self, piece: tuple[str, int, int], refused: Any = None, images: bool | None = None) -> Iterator[Any]:
        return M3IT.read(self, piece, refused, images)  # an empty file of pictures is one that is not long enough

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        path, first, stop = piece
        check_file(self.repository, path)
        texts, number = self.texts(path), first
        for offset, line in self.pictures(path).read(first, stop, len(texts)):
            if number == len(texts):
                raise ShardError(self.unequal(path, "more"))
            yield offset, Joined(line, texts[number])
            number += 1
        if number < stop:
            raise ShardError(self.unequal(path, number))

    @property
    def says(self) -> str:
        return "pictures and texts joined row by row, by the usual names of fields"

    def first_line(self) -> Any:
        return next(iter(self.lines((self.pictures_path(next(iter(self.shards(self.config.name)))), 0, 1))))[1]

    def map_row(self, row: Joined, place: str) -> list[dict[str, Any]]:
        picture, texts = parse(row.pictures), parse(row.texts)
        if not isinstance(picture, dict) or not isinstance(texts, dict):
            raise ShardError("expected a JSON object in the line of pictures and in that of texts", "not an object")
        fields = dict(self.config.fields or {})
        images = images_in(picture, fields.pop("images", None))
        if not images:
            raise ShardError(
                f"expected a picture in one of {', '.join(IMAGES)}, found the fields {', '.join(picture)}", "no picture"
            )
        mapped = by_names(texts, fields, text_only=True)
        outputs = mapped.outputs.strip() if isinstance(mapped.outputs, str) else mapped.outputs
        mapped = mapped._replace(inputs=mapped.inputs.strip(), outputs=outputs)
        return self._instances(picture, own_id(picture) or place, mapped, as_images(images))

    @functools.cached_property
    def companions(self) -> dict[str, str]:
        path = self.instructions_path
        return {path: read_text(self.repository, path)} if path in self.repository.files else {}

    @functools.cached_property
    def instructions(self) -> list[str]:
        """The dataset's instructions in the language. Nobody saw such a file: lines {"okvqa": [...]} are read, and
        lines {"task": "okvqa", "instruction": ...}."""
        path, found = self.instructions_path, []
        try:
            values = [json.loads(line) for line in self.companions.get(path, "").split("\n") if line.strip()]
        except ValueError as error:
            raise M3ITError(f"{path}: expected a JSON object a line, {error}. Download it again.") from error
        for value in (value for value in values if isinstance(value, dict)):
            named = any(
                value.get(key) in (self.dataset, self.config.name) for key in ("task", "dataset", "name", "config")
            )
            name = (
                self.dataset
                if self.dataset in value
                else only(value, (*INSTRUCTIONS, *INPUTS, *OUTPUTS), "instruction")
                if named
                else None
            )
            texts = value[name] if name else []
            found += texts if isinstance(texts, list) else [texts]
        if not found:
            sample = json.dumps(values[:1], ensure_ascii=False)[1:80] if path in self.companions else "no such file"
            hint = "Pass fields={'instruction': ''} to do without."
            raise M3ITError(f"{path}: expected lines that name {self.dataset}, found {sample}. {hint}")
        return found

    def texts(self, pictures_path: str) -> list[bytes]:
        """The lines of texts that belong to a file of pictures: 500 or so."""
        if pictures_path not in self.kept_texts:
            path = self.texts_path(pictures_path)
            check_file(self.repository, path)
            self.kept_texts[pictures_path] = [
                line for _, line in read_rows(self.repository, (path, 0, self.repository.size(path)))
            ]
        return self.kept_texts[pictures_path]

    def pictures(self, path: str) -> "Pictures":
        """The rows of a file of pictures, by number."""
        if path not in self.kept_pictures:
            self.kept_pictures[path] = Pictures(self.repository, path)
        return self.kept_pictures[path]

    def texts_path(self, pictures_path: str) -> str:
        return self.shards(self.config.name)[_split_of(pictures_path)][0]

    def pictures_path(self, split: str) -> str:
        """The file with the pictures of a split: data/<task>/{train,val,test}_500.jsonl, or test.jsonl."""
        beside = [
            path for path in self.repository.files if posixpath.dirname(path) == self.folder and path.endswith(".jsonl")
        ]
        found = [path for path in beside if not TRANSLATED.fullmatch(path) and _split_of(path) == split]
        if len(found) != 1:
            raise ShardError(
                f"{self.folder}: expected one file of pictures for {split}, found {', '.join(found) or 'none'}"
            )
        return found[0]

    def unequal(self, pictures_path: str, num_pictures: Any) -> str:
        """The sentence for two files that do not belong together."""
        texts = f"{self.texts_path(pictures_path)} has {len(self.texts(pictures_path))} rows"
        return f"{texts}, {pictures_path} has {num_pictures}; they are joined row by row. Get both at one revision."


def _split_of(path: str) -> str:
    """The split that a file's name tells; "" if it tells none."""
    return "".join(SPLITS[name] for name in SPLIT_WORD.findall(posixpath.basename(path))[:1])


class Pictures:
    """The rows of one big file of pictures, by number."""

    def __init__(self, repository: Repository, path: str):
        self.repository, self.path = repository, path
        self.begins: list[int] | None = None  # of each row, and the file's size
        self.known = {0: 0}  # row -> byte, as far as it was read without an index
        local: Any = os.path.join(repository.root, path) if isinstance(repository.fs, LocalFileSystem) else None
        if repository.commit:
            local = huggingface_hub.try_to_load_from_cache(
                str(repository.repo_id), path, revision=repository.commit, repo_type="dataset"
            )
        if isinstance(local, str):
            self.path = os.path.basename(local)
            self.repository = Repository.of_files(os.path.dirname(local), [self.path])
            self.begins = load_index(local).tolist()

    @property
    def num_rows(self) -> int | None:
        """How many there are, if that is known without reading them."""
        return None if self.begins is None else len(self.begins) - 1

    def read(self, first: int, stop: int, num_rows: int) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, line) of the rows first to stop; after the last of `num_rows` one more, if it is there."""
        if self.begins is not None:
            yield from read_rows(self.repository, (self.path, self.begins[first], self.begins[stop]))
            return
        size = self.repository.size(self.path)
        number = max(known for known in self.known if known <= first)
        step = max(STEP_BYTES, size * (stop - first) // max(1, num_rows))
        for start in range(self.known[number], size, step):
            for offset, line in read_rows(self.repository, (self.path, start, min(start + step, size))):
                if number >= first:
                    yield offset, line
                number += 1
                self.known[number] = offset + len(line) + 1
                if number > stop or number == stop < num_rows:
                    self.repository.check_unchanged(self.path)
                    return


def translated(repository: Repository) -> dict[str, dict[str, str]]:
    """Config -> split -> file of texts."""
    found: dict[str, dict[str, str]] = {}
    for path in repository.files:
        match = TRANSLATED.fullmatch(path)
        if match:
            found.setdefault(f"{match[1]}-{match[3]}", {})[SPLITS[match[2]]] = path
    return found
