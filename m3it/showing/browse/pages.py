"""Pages of rows: which rows a view asks for, and what is shown of each. No browser here.

In: a repository of any layout, perhaps folders of predictions, and a `View`.  Out: a `Page` of `Card`s. A view is all
that the address in the browser says, and each of its parts may be wrong: M3ITError says what there is.
"""

import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.compute as pc

from M3IT import LANGUAGES, M3ITError, Repository, find_shards, id_of, nearest, open_parquet
from m3it.catalogue import ENGLISH, catalogue_order, lookup
from m3it.evaluating.runs import Place, Run, pool_captions, read_runs
from m3it.reading.as_is import texts_of
from m3it.reading.load import get_dataset_config_names, load_builder
from m3it.rows.instance import text
from m3it.showing.browse.answers import MARKS, Answer, answers_of
from m3it.showing.browse.numbered import Numbered, NumberedRows

PAGE_ROWS = 12
SCAN_ROWS = 10_000  # that a search, a filter or a row id may read before it says how far it came
TELL_ROWS = 100  # between two words of progress
NEAR_ROWS = 100  # around where the same row of another language should be, for rows that were dropped
TEXTS = ("instruction", "inputs", "outputs")

Tell = Callable[[int], None]  # gets the number of rows read so far


class Entry(NamedTuple):
    """A config, by what a reader chooses it by."""

    config: str
    task: str
    dataset: str
    language: str


class View(NamedTuple):
    """What is looked at. `row`: the number of the page's first row, or, with a filter, where looking begins.
    `pictures`: how many a row has, "" for any; `answers`: right, partly, wrong or failed, of any model."""

    config: str = ""
    split: str = ""
    row: int = 0
    beside: str = ""
    search: str = ""
    pictures: str = ""
    answers: str = ""

    @property
    def filtered(self) -> bool:
        return bool(self.search or self.pictures or self.answers)


class Card(NamedTuple):
    """What is shown of a row: `beside`: the same row in another language; `error`: why there is nothing."""

    number: int
    id: str
    config: str
    row: dict[str, Any]
    answers: list[Answer]
    beside: "Card | None" = None
    error: str = ""


class Page(NamedTuple):
    """The rows that a view asks for. `view`: with what was filled in; `before`, `after`: where the pages beside it
    begin, None where there is none; `note`: how far a search came."""

    view: View
    cards: list[Card]
    num_rows: int | None
    before: int | None
    after: int | None
    note: str = ""

    @property
    def told(self) -> str:
        """Which rows these are, in words."""
        of_all = "" if self.num_rows is None else f" of {self.num_rows:,}"
        ends = list(dict.fromkeys(f"{card.number:,}" for card in (*self.cards[:1], *self.cards[-1:])))
        numbers = f"row{'s' * (len(ends) > 1)} {' to '.join(ends)}{of_all}" if ends else "no rows"
        return f"{self.view.config}, {self.view.split}: {self.note or numbers}"


class Pages:
    """The pages of one repository. One row is read at a time: the browser may ask for the next page before this one."""

    def __init__(self, repo: str, predictions: Sequence[Path | str] = (), **access: Any):
        self.repository = Repository(repo, **access)
        self.access = {name: access[name] for name in ("token", "cache_dir") if name in access}
        self.entries = _entries(self.repository)
        self.runs: list[Run] = pool_captions(read_runs(predictions)) if predictions else []
        self._rows: dict[Place, NumberedRows] = {}
        self._answers: dict[Place, dict[str, list[Answer]]] = {}
        self._lock = threading.Lock()

    # ---- what there is

    def splits(self, config: str) -> list[str]:
        """The splits of a config."""
        self._known(config)
        return list(load_builder(self.repository, config, meta=True, **self.access).shards(config))

    def languages(self, config: str) -> list[str]:
        """The other configs that hold the same rows in other languages."""
        dataset = self._known(config).dataset
        return [entry.config for entry in self.entries.values() if entry.dataset == dataset and entry.config != config]

    def rows(self, config: str, split: str) -> NumberedRows:
        """The rows of a split, by their numbers."""
        self._known(config)
        if (config, split) not in self._rows:
            builder = load_builder(self.repository, config, meta=True, **self.access)
            self._rows[config, split] = NumberedRows(builder, split)
        return self._rows[config, split]

    def _known(self, config: str) -> Entry:
        if config not in self.entries:
            near = nearest(config, self.entries)
            hint = f" Did you mean {near!r}?" if near else ""
            raise M3ITError(f"{self.repository.path} has no config {config!r}.{hint}")
        return self.entries[config]

    def complete(self, view: View) -> View:
        """The view with the first config and split where it names none; M3ITError where a part of it is wrong."""
        config = view.config or next(iter(self.entries))
        splits = self.splits(config)
        view = view._replace(config=config, split=view.split or splits[0])
        if view.split not in splits:
            raise M3ITError(f"{config} has no split {view.split!r}; it has {', '.join(splits)}.")
        if view.row < 0:
            raise M3ITError(f"row {view.row}: expected 0 or more; the first row is 0.")
        if view.beside and view.beside not in (languages := self.languages(config)):
            raise M3ITError(f"{view.beside} is not {config} in another language. There are: {_listed(languages)}.")
        if view.pictures and not (view.pictures.isascii() and view.pictures.isdigit()):
            raise M3ITError(f"pictures={view.pictures}: expected how many, such as 2.")
        if view.answers and view.answers not in MARKS:
            raise M3ITError(f"answers={view.answers}: expected one of {', '.join(MARKS)}.")
        if view.answers and not self.answers(config, view.split):
            raise M3ITError(f"There are no predictions of {config}/{view.split}. Name their folder: --predictions DIR.")
        return view

    # ---- which rows

    def read(self, view: View, tell: Tell = lambda _: None) -> Page:
        """The page that a view asks for."""
        with self._lock:
            view = self.complete(view)
            rows = self.rows(view.config, view.split)
            if view.filtered:
                return self._filtered(view, rows, tell)
            found = list(islice(rows.from_number(view.row), PAGE_ROWS + 1))
            if not found and view.row:
                told = "" if rows.num_rows is None else f"expected a row below {rows.num_rows:,}, found {view.row:,}"
                raise M3ITError(f"{view.config}/{view.split}: {told or f'there is no row {view.row:,}'}.")
            after = found[PAGE_ROWS].number if len(found) > PAGE_ROWS else None
            before = max(0, view.row - PAGE_ROWS) if view.row else None
            return Page(view, self._cards(view, found[:PAGE_ROWS]), rows.num_rows, before, after)

    def before(self, view: View, tell: Tell = lambda _: None) -> int:
        """Where the page before a view begins: of a filtered one, the twelfth hit back, or where looking ended."""
        with self._lock:
            view = self.complete(view)
            start = max(0, view.row - (SCAN_ROWS if view.filtered else PAGE_ROWS))
            if not view.filtered:
                return start
            hits: deque[int] = deque(maxlen=PAGE_ROWS)
            for each in self._looked_at(view, self.rows(view.config, view.split), start, tell):
                if each.number >= view.row:
                    break
                if self._passes(view, each):
                    hits.append(each.number)
            return hits[0] if len(hits) == PAGE_ROWS else start

    def find(self, view: View, row_id: str, tell: Tell = lambda _: None) -> int:
        """The number of the row of this id, looked for from the view's row on, and then before it."""
        with self._lock:
            view = self.complete(view)
            rows = self.rows(view.config, view.split)
            numbers = self._in_texts(view, lambda table: pc.equal(table["row_id"], row_id))
            if numbers is not None:
                found, count = next(numbers, None), 0
            else:
                around = chain(rows.from_number(view.row), _until(rows.from_number(), view.row))
                found, count = _find(islice(around, SCAN_ROWS), row_id, tell)
        if found is not None:
            return found
        here = f" among {count:,} rows from {view.row:,} on; go on from a later row" if count == SCAN_ROWS else ""
        raise M3ITError(f"{view.config}/{view.split}: there is no row of the id {row_id!r}{here}.")

    def random(self, view: View, seed: int | None = None) -> int:
        """The number of a row; of files whose rows are counted as they are read, one of those read so far."""
        with self._lock:
            view = self.complete(view)
            rows = self.rows(view.config, view.split)
            count = rows.count() or max(rows.firsts[-1], 1)
            return random.Random(seed).randrange(count)

    def _filtered(self, view: View, rows: NumberedRows, tell: Tell) -> Page:
        """The next hits of the filters from the view's row on."""
        hits: list[Numbered] = []
        after = None
        for count, each in enumerate(self._looked_at(view, rows, view.row, tell)):
            if len(hits) == PAGE_ROWS or count == SCAN_ROWS:
                after = each.number
                break
            if self._passes(view, each):
                hits.append(each)
        found = f"{len(hits)} found" if hits else "nothing found"
        last = (rows.num_rows or 1) - 1 if after is None else after - 1
        note = f"{found} in rows {view.row:,} to {last:,}{'.' if after is None else '; Next looks on.'}"
        return Page(view, self._cards(view, hits), rows.num_rows, view.row or None, after, note)

    def _looked_at(self, view: View, rows: NumberedRows, start: int, tell: Tell) -> Iterator[Numbered]:
        """The rows from a number on that may pass: those with the searched text, where a release tells them."""
        wanted = text(view.search)
        numbers = self._in_texts(view, lambda table: _any(table, wanted)) if wanted else None
        if numbers is None:
            for each in rows.from_number(start):
                if (each.number - start) % TELL_ROWS == 0:
                    tell(each.number - start)
                yield each
            return
        for number in numbers:
            if number >= start:
                yield next(rows.from_number(number))

    def _passes(self, view: View, each: Numbered) -> bool:
        if each.error:
            return False
        wanted = text(view.search).casefold()
        said = any(wanted in each.row[name].casefold() for name in TEXTS)
        number = not view.pictures or len(each.row["images"]) == int(view.pictures)
        answers = self.answers(view.config, view.split).get(id_of(each.row), ()) if view.answers else ()
        return said and number and (not view.answers or any(answer.mark == view.answers for answer in answers))

    def _in_texts(self, view: View, test: Callable[[Any], Any]) -> Iterator[int] | None:
        """The numbers of a split's rows whose texts pass a test, by the config `text` of a release; None where there is
        none, and where it tells the rows of this config from no other's."""
        found, paths = find_shards(self.repository), texts_of(self.repository).get(view.split, [])
        dataset = lookup(view.config).dataset
        alike = [name for name in self.entries if dataset and name.startswith(f"{dataset.name}-")]
        if not found or not paths or "text" in found or not dataset or not all(lookup(name).dataset for name in alike):
            return None
        return self._numbers(self.entries[view.config], paths, test)

    def _numbers(self, entry: Entry, paths: list[str], test: Callable[[Any], Any]) -> Iterator[int]:
        before = 0
        for path in paths:
            file = open_parquet(self.repository, path, pre_buffer=True)
            for i in range(file.num_row_groups):
                table = file.read_row_group(i, columns=["dataset", "language", "row_id", *TEXTS])
                own = pc.and_(pc.equal(table["dataset"], entry.dataset), pc.equal(table["language"], entry.language))
                table = table.filter(own)
                hits = pc.indices_nonzero(test(table)).to_pylist() if table.num_rows else []
                yield from (before + hit for hit in hits)
                before += table.num_rows

    # ---- what is shown of them

    def _cards(self, view: View, found: Iterable[Numbered]) -> list[Card]:
        answers = self.answers(view.config, view.split)
        cards = [_card(view.config, each, answers) for each in found]
        if not view.beside or not cards:
            return cards
        there = self._beside(view, cards)
        missing = f"not found in {view.beside}"
        return [
            card._replace(beside=there.get(card.id) or Card(card.number, card.id, view.beside, {}, [], error=missing))
            for card in cards
        ]

    def _beside(self, view: View, cards: list[Card]) -> dict[str, Card]:
        """The same rows in the other language, by their ids: near the same share of its rows, since some were dropped
        in translation."""
        if view.split not in self.splits(view.beside):
            return {}
        own, other = self.rows(view.config, view.split), self.rows(view.beside, view.split)
        share = other.num_rows / own.num_rows if own.num_rows and other.num_rows else 1.0
        answers = self.answers(view.beside, view.split)
        found: dict[str, Card] = {}
        wanted, stop = {card.id for card in cards}, -1
        for card in cards:
            near = int(card.number * share)
            if card.id in found or near + NEAR_ROWS <= stop:
                continue
            start, stop = max(0, near - NEAR_ROWS, stop), near + NEAR_ROWS
            for each in islice(other.from_number(start), stop - start):
                there = _card(view.beside, each, answers)
                if there.id in wanted:
                    found[there.id] = there
                if wanted <= found.keys():
                    return found
        return found

    def answers(self, config: str, split: str) -> dict[str, list[Answer]]:
        """Row id -> what each model answered, scored by the dataset's own metric."""
        if (config, split) not in self._answers:
            found: dict[str, list[Answer]] = {}
            for run in self.runs:
                for row_id, answer in answers_of(run, (config, split)):
                    found.setdefault(row_id, []).append(answer)
            self._answers[config, split] = found
        return self._answers[config, split]


def _entries(repository: Repository) -> dict[str, Entry]:
    """The configs that hold rows, as a release may hold them twice, in the catalogue's order."""
    names = get_dataset_config_names(repository)
    names = [name for name in names if name != "text" or name in find_shards(repository)]
    names = [
        name for name in names if name.removesuffix("-images") == name or name.removesuffix("-images") not in names
    ]
    if not names:
        raise M3ITError(f"{repository.path} holds no rows: no shards were found below data/.")
    tasks = {name: next(iter(splits.values()))[0][0].split("/")[1] for name, splits in find_shards(repository).items()}
    entries = {}
    for name in sorted(names, key=catalogue_order):
        dataset, language = lookup(name)
        base, _, code = name.rpartition("-")
        of_own = dataset is None and base in names and code in LANGUAGES
        own, language = (base, code) if of_own else (dataset.name if dataset else name, language)
        entries[name] = Entry(name, dataset.task if dataset else tasks.get(name, "other"), own, language)
    return entries


def language_of(entry: Entry) -> Any:
    """The language of a config's texts, as M3IT.py describes it."""
    return LANGUAGES.get(entry.language, ENGLISH)


def _card(config: str, each: Numbered, answers: dict[str, list[Answer]]) -> Card:
    row_id = id_of(each.row) if each.row else ""
    return Card(each.number, row_id, config, each.row, answers.get(row_id, []), error=each.error)


def _any(table: Any, wanted: str) -> pyarrow.Array:
    """Which rows of a table have a text in one of their columns of texts, upper and lower case alike."""
    first, *others = (pc.match_substring(table[name], wanted, ignore_case=True) for name in TEXTS)
    for other in others:
        first = pc.or_(first, other)
    return first


def _find(rows: Iterable[Numbered], row_id: str, tell: Tell) -> tuple[int | None, int]:
    """(the number of the row of this id, None where there is none; how many rows were read)."""
    count = 0
    for count, each in enumerate(rows, 1):
        if count % TELL_ROWS == 0:
            tell(count)
        if each.row and id_of(each.row) == row_id:
            return each.number, count
    return None, count


def _until(rows: Iterator[Numbered], stop: int) -> Iterator[Numbered]:
    for each in rows if stop else ():
        if each.number >= stop:
            return
        yield each


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "none"
