"""The published repositories as they lie on the Hub, raw rows in, instances out, no remote code: MMInstruction/M3IT.

Its JSON Lines hold raw rows whose fields differ per dataset. A loading script, which `datasets` refuses since 4.0, made
the published columns of them. In the order of the data:

files      the files of a config, by their names
fields     the fields of a raw row, by their usual names
mappings   what the script made of them
table      which config is mapped how, and how well we know it

Three layouts, told apart in m3it/reading/layouts.py:
raw         data/<group>/<folder>/<stem>.jsonl, instructions.json beside it                            Legacy
converted   the Hub's branch refs/convert/parquet, rows in the schema: <config>/<split>/0000.parquet   Converted
joined      M3IT-80: texts in one file, pictures in another (joined.py)                                Legacy80
"""

import functools
import hashlib
import json
import logging
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from M3IT import M3IT, SPLITS, M3ITConfig, M3ITError, Repository
from m3it.reading.published.fields import (
    Mapped,
    Row,
    Unknown,
    as_images,
    by_names,
    field,
    images_in,
    knowledge,
    own_id,
    parse_quickly,
)
from m3it.reading.published.files import (
    BRANCH,
    check_alone,
    check_file,
    converted_files,
    known,
    locate,
    read_text,
    strangers,
)
from m3it.reading.published.mappings import Mapping, Texts
from m3it.reading.published.table import INF, NO_PICTURE, NUM_IMAGES, TABLE, Raw, tidy
from m3it.rows.instance import ShardError, choose

logger = logging.getLogger(__name__)


@functools.cache
def code() -> str:
    """What cached rows and decisions are kept for: the code that makes them, as it stands."""
    here = Path(__file__).parent
    return digest_of([here.parent / "layouts.py", *here.glob("*.py")])


def digest_of(files: Iterable[Path]) -> str:
    """sha256 over the names and contents of files, in the order of their names, as hex."""
    listed = sorted((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
    assert listed, "a hash of nothing would be the same for every state of the code"
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@functools.cache
def say(message: str) -> None:
    """A line on stderr, once."""
    logger.warning("%s", message)


@dataclass
class LegacyConfig(M3ITConfig):
    """`fields`: where raw rows keep inputs, outputs, images or instruction, if the table does not know."""

    fields: dict[str, str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = set(self.fields or ()) - {"inputs", "outputs", "images", "instruction"}
        if wrong:
            expected = "expected inputs, outputs, images or instruction"
            raise ValueError(f"fields={self.fields!r}: {expected}, found {', '.join(sorted(wrong))}")


class Legacy(M3IT):
    """Reads one config of the raw layout."""

    BUILDER_CONFIG_CLASS = LegacyConfig
    BUILDER_CONFIGS: list[LegacyConfig] = []

    def __init__(self, cache_dir: Any = None, repository: Any = None, hash: Any = None, **kwargs: Any) -> None:
        # Rows depend on the mapping and on small files beside them: a changed one must not be served from the cache.
        beside = "" if repository.commit else repository.identity(list(repository.files))
        super().__init__(cache_dir, repository, hash=f"{hash} {code()} {beside}", **kwargs)

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        """The names of the configs whose files are there."""
        return [*(name for name, raw in TABLE.items() if locate(repository, raw)), *strangers(repository)]

    @classmethod
    def about(cls, repository: Repository, name: str) -> tuple[str, str, set[str]]:
        """(status, evidence, splits) of a config."""
        raw = known(repository, name)
        return (raw.status, raw.evidence, set(locate(repository, raw))) if raw else (INF, "", set())

    @functools.cached_property
    def raw(self) -> Raw:
        raw = known(self.repository, self.config.name)
        assert raw is not None  # else the config would not have been found
        return raw

    @functools.cached_property
    def folder(self) -> str:
        return posixpath.dirname(next(iter(self.shards(self.config.name).values()))[0])

    @functools.cached_property
    def dataset(self) -> str:
        """What choices by hash are made for."""
        return self.config.name.removesuffix("-rephrased").removesuffix("-open-ended")

    @property
    def says(self) -> str:
        """The mapping in words."""
        mapping, fields = self.mapping, f"; fields {self.config.fields}" if self.config.fields else ""
        if isinstance(mapping, Texts):
            return f'inputs "{mapping.inputs}", outputs "{mapping.outputs}"{fields}'
        return f"{mapping.__doc__ if mapping else 'by the usual names of fields'}{fields}"

    @functools.cached_property
    def mapping(self) -> Mapping | None:
        """The table's mapping, if the user does not say where the texts are."""
        return None if {"inputs", "outputs"} & set(self.config.fields or ()) else self.raw.mapping

    def found(self) -> list[str]:
        return self.configs(self.repository)

    def shards(self, config_name: str) -> dict[str, list[str]]:
        raw = known(self.repository, config_name)
        found = locate(self.repository, raw) if raw else {}
        if not found:
            raise self._unknown(config_name)
        check_alone(found)
        return {split: found[split] for split in dict.fromkeys(SPLITS.values()) if split in found}

    def pieces(self, split: str) -> list[tuple[str, int, int]]:
        assert self.companions is not None  # read before there are workers, they travel there
        return super().pieces(split)

    def read(self, piece: tuple[str, int, int], refused: Any = None, images: bool | None = None) -> Iterator[Any]:
        path = piece[0]
        if not self.repository.size(path):
            error = ShardError("the file is empty at this revision", "empty file")
            (refused or self.refuse)(path, 0, path, error)
        yield from super().read(piece, refused, images)

    def lines(self, piece: tuple[str, int, int]) -> Iterator[tuple[int, Any]]:
        check_file(self.repository, piece[0])
        for offset, line in super().lines(piece):
            yield offset, parse_quickly(line, self.raw.images) if isinstance(line, bytes) else line

    def first_line(self) -> Any:
        """The first line of the first split, as `lines` gives it."""
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, 1))))[1]

    def map_row(self, row: Any, place: str) -> list[Row]:
        if not isinstance(row, dict):
            raise ShardError(f"expected a JSON object, found {type(row).__name__}", "not an object")
        row_id = own_id(row) or place
        mapped = self._map(row, row_id)
        images = as_images(mapped.images, self.dataset in NO_PICTURE)
        if len(images) != NUM_IMAGES.get(self.dataset, len(images)):
            raise ShardError(f"expected {NUM_IMAGES[self.dataset]} pictures, found {len(images)}", "picture lost")
        return self._instances(row, row_id, mapped, images)

    def _map(self, row: Row, row_id: str) -> Mapped:
        """The row by the user's fields, else by the table, else by the usual names of fields."""
        raw, fields, text_only = self.raw, self.config.fields or {}, self.dataset in NO_PICTURE
        if self.mapping is None:
            return by_names(row, fields, text_only)
        own_field = fields.get("instruction", raw.instructions.strip("{}") if raw.instructions[0] == "{" else None)
        try:
            inputs, outputs = self.mapping(row, self, row_id)
            images = images_in(row, fields.get("images", raw.images or None))
            own = field(row, own_field) if own_field else own_field
        except Unknown as error:
            try:
                mapped = by_names(row, fields, text_only)
            except ShardError as other:
                raise ShardError(
                    f"{error}, as the table says; nor by the usual names, {other}", other.reason
                ) from error
            say(
                f"{self.config.name}: {error}, as the table says; rows without it are read by the usual names of fields"
            )
            return mapped
        if not images and fields.get("images") != "":
            raise ShardError("expected a picture, found nothing", "no picture")
        return Mapped(inputs, images, outputs, own)

    def _instances(self, row: Row, row_id: str, mapped: Mapped, images: list[str]) -> list[Row]:
        """The rows in our schema; where outputs are missing they stay so: check_row refuses that row and no other."""
        outputs = mapped.outputs if isinstance(mapped.outputs, list) else [mapped.outputs]
        if not outputs:
            raise ShardError("expected an answer, found none", "no outputs")
        rows = []
        for k, text in enumerate(outputs):
            name = f"{row_id}#{k}" if len(outputs) > 1 else row_id
            instruction = self.choose_instruction(mapped.instruction, name).replace("[HYPO]", mapped.inputs)
            instance: Row = {"instruction": instruction, "inputs": mapped.inputs, "image_base64_str": images}
            if text not in (None, ""):
                instance["outputs"] = text
            if self.config.meta or self.config.corrections:
                known_by = name if own_id(row) else None
                told = knowledge(row, known_by, mapped.images, (self.config.fields or {}).get("images", ""))
                instance["meta"] = json.dumps(told, ensure_ascii=False)
            rows.append(instance)
        return rows

    def choose_instruction(self, own: Any, row_id: str) -> str:
        """The row's own instruction, or the one of the dataset's that this row always gets."""
        options = self.instructions if own is None else own if isinstance(own, list) else [own]
        if not options or not all(isinstance(option, str) for option in options):
            raise ShardError(f"expected instructions, found {json.dumps(options)[:60]}", "no instruction")
        return choose(options, self.dataset, row_id)

    @functools.cached_property
    def companions(self) -> dict[str, str]:
        """Name -> text of the small files beside the rows."""
        paths = {name: f"{self.folder}/{name}" for name in ("instructions.json", "instruction.json", self.raw.extra)}
        return {k: read_text(self.repository, path) for k, path in paths.items() if path in self.repository.files}

    def companion(self, *names: str) -> tuple[str, str]:
        """Name and text of the first of these that lies beside the rows."""
        for name in names:
            if name in self.companions:
                return name, self.companions[name]
        expected = " or ".join(names)
        raise M3ITError(f"expected {expected} in {self.folder}, found none. Download it from the Hub.")

    @functools.cached_property
    def instructions(self) -> list[str]:
        """The dataset's instructions: a JSON list, or a JSON text a line."""
        name, text = self.companion(*dict.fromkeys((self.raw.instructions, "instructions.json", "instruction.json")))
        listed = text.lstrip().startswith("[")
        try:
            found = json.loads(text) if listed else [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            raise self._unread(name, f"a JSON list of texts, {error}") from error
        if not found or not all(isinstance(instruction, str) for instruction in found):
            raise self._unread(name, f"a JSON list of texts, found {json.dumps(found)[:60]}")
        return found

    @functools.cached_property
    def classes(self) -> list[str]:
        """The names of mapping.txt by the number of their line: a synset, a blank, the name; "" for a blank line."""
        lines = self.companion(self.raw.extra)[1].split("\n")
        return ["".join(line.split(maxsplit=1)[1:]).strip() for line in lines]

    @functools.cached_property
    def labels(self) -> Row:
        """The names of labels.json, each with its number."""
        try:
            found = json.loads(self.companion(self.raw.extra)[1])
        except ValueError as error:
            raise self._unread(self.raw.extra, f"a JSON object of labels, {error}") from error
        if isinstance(found, list) and all(isinstance(name, str) for name in found):
            found = {name: number for number, name in enumerate(found)}
        if not isinstance(found, dict) or not found:
            raise self._unread(self.raw.extra, f"a JSON object of labels, found {json.dumps(found)[:60]}")
        return found

    def _unread(self, name: str, expected: str) -> M3ITError:
        """The error of a small file; no ShardError: no row can do without the file, so none is to be dropped."""
        return M3ITError(f"{self.folder}/{name}: expected {expected}. Download it from the Hub again.")

    def _choose(self, name: str | None) -> str:
        name = tidy(name)
        return name if name in TABLE and self.repository.commit else super()._choose(name)


class Converted(Legacy):
    """Reads one config of the branch that the Hub made: instructions and options are those drawn in 2023."""

    says = "rows in the schema, as they are"
    companions: dict[str, str] = {}

    @classmethod
    def configs(cls, repository: Repository) -> list[str]:
        return list(converted_files(repository))

    def shards(self, config_name: str) -> dict[str, list[str]]:
        splits = converted_files(self.repository).get(config_name)
        if splits is None:
            raise self._unknown(config_name)
        for split, (paths, partial) in splits.items():
            if partial:
                where = posixpath.dirname(paths[0])
                say(f"{config_name}/{split}: {BRANCH} has its beginning only ({where}); the raw rows are complete")
        return {split: splits[split][0] for split in dict.fromkeys(SPLITS.values()) if split in splits}

    def first_line(self) -> Any:
        path = next(iter(self.shards(self.config.name).values()))[0]
        return next(iter(self.lines((path, 0, self.repository.size(path)))))[1]

    def map_row(self, row: Any, place: str) -> list[Any]:
        return [row]
