"""What goes into a mixture, and how much of it.

In: names of configs, or what the catalogue says of them; weights. Out: the parts that are wanted, the share of an epoch
that each dataset gets.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from M3IT import CATALOGUE, LANGUAGES, Repository, find_shards, nearest
from m3it.catalogue import COMMERCIAL, ENGLISH, catalogue_order, check_license, lookup, why_not_commercial
from m3it.mixing.part import Part
from m3it.reading.layouts import layout
from m3it.reading.published.raw import Legacy

Shares = Mapping[str, float]
Weights = str | float | Shares
ALL_LANGUAGES = [ENGLISH, *LANGUAGES.values()]
CODES = {language.name.partition(" (")[0].lower(): language.code for language in ALL_LANGUAGES}
CODES |= {language.code: language.code for language in ALL_LANGUAGES}
TASKS = list(dict.fromkeys(dataset.task for dataset in CATALOGUE.values()))


@dataclass(frozen=True)
class Selection:
    """Which datasets are wanted: configs by name, and of them, or of all, those with certain terms in the catalogue.

    None takes all. Sets outside the catalogue never match tasks or languages.
    """

    configs: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    languages: tuple[str, ...] | None = None
    exclude_held_out: bool = False
    license: str | None = None

    def __post_init__(self) -> None:
        check_license(self.license)
        for what, given, all_known in (("task", self.tasks, TASKS), ("language", self.languages, {*LANGUAGES, "en"})):
            for name in given or ():
                if name not in all_known:
                    raise ValueError(f"Unknown {what} {name!r}. Did you mean {nearest(name, all_known, 0)!r}?")

    def takes(self, part: Part) -> bool:
        """Whether a part is wanted, by what the catalogue says of it."""
        dataset, language = lookup(part.name)
        if dataset is None:
            fits = not self.license or COMMERCIAL.fullmatch(part.license)
            return self.tasks is None and self.languages is None and bool(fits)
        return (
            (self.tasks is None or dataset.task in self.tasks)
            and (self.languages is None or language in self.languages)
            and not (self.exclude_held_out and dataset.held_out)
            and not (self.license and why_not_commercial(dataset.name))
        )

    def why_left_out(self, part: Part, meta: Mapping[str, Any]) -> str:
        """Why a row of a wanted part is not wanted, by its own licenses; "" for one that is. A part outside the
        catalogue is as its `license` says."""
        dataset = lookup(part.name).dataset if self.license else None
        return why_not_commercial(dataset.name, meta) if dataset else ""

    def parts_of(self, repository: Repository, whole: Part) -> list[Part]:
        """The wanted configs of a repository: of those named; else of the datasets of the catalogue that have the
        split, in their own language or in those asked for. `whole`: a part with the repository's path and the split."""
        names = held(repository, whole.split) if self.configs is None else self.configs
        if self.configs is None and self.languages is None:
            names = [name for name in names if name in CATALOGUE]
        parts = [replace(whole, name=name, label=name) for name in names]
        return [part for part in parts if self.takes(part)]


def as_names(given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """One name, or several, as a tuple."""
    return given if given is None else (given,) if isinstance(given, str) else tuple(given)


def held(repository: Repository, split: str) -> list[str]:
    """The configs of the catalogue that a repository holds with this split, in the catalogue's order of datasets."""
    kind = layout(repository)
    if issubclass(kind, Legacy):
        found = {name: kind.about(repository, name)[2] for name in kind.configs(repository)}
    else:
        found = {name: set(splits) for name, splits in find_shards(repository).items()}
    return sorted((name for name in found if lookup(name).dataset and split in found[name]), key=catalogue_order)


def find_weights(sizes: Mapping[str, int], weights: Weights, languages: Mapping[str, str] | None = None) -> Shares:
    """Dataset -> its share of an epoch; the shares add up to 1, and a dataset without rows has none. `languages`:
    dataset -> the code of its language, where weights name languages."""
    given = as_shares(weights)
    if not isinstance(given, Mapping):
        temperature = {"size": 1.0, "sqrt": 2.0}[given] if isinstance(given, str) else given
        most = max(sizes.values()) or 1  # by which all are divided, lest the power of a small temperature overflows
        raw: Shares = {name: (size / most) ** (1 / temperature) for name, size in sizes.items()}
    elif languages is not None and not set(given) <= set(sizes) and any(map(language_code, given)):
        raw = _by_language(sizes, given, languages)
    else:
        raw = _by_name(sizes, given)
    total = sum(raw.values())
    if min(raw.values(), default=0) < 0 or not 0 < total < float("inf"):
        raise ValueError("weights: expected numbers of 0 or more, not all of them 0")
    return {name: weight / total for name, weight in raw.items()}


def _by_name(sizes: Mapping[str, int], shares: Shares) -> Shares:
    """Dataset -> the weight that a table gives it, 0 where it has no rows."""
    unknown = [name for name in shares if name not in sizes]
    missing = [name for name in sizes if name not in shares]
    if unknown:
        near = nearest(unknown[0], sizes, 0)
        raise ValueError(f"weights name {unknown[0]!r}, which is not in the mixture. Did you mean {near!r}?")
    if missing:
        raise ValueError(
            f"weights: none given for {', '.join(missing[:5])}. Give each dataset a weight, 0 to leave it out."
        )
    return {name: float(shares[name]) if sizes[name] else 0.0 for name in sizes}


def _by_language(sizes: Mapping[str, int], shares: Shares, languages: Mapping[str, str]) -> Shares:
    """Dataset -> its part, by size, of what its language gets of an epoch; those in other languages, or in an unknown
    one, share what is left."""
    codes = {name: language_code(name) for name in shares}
    if unknown := [name for name, code in codes.items() if not code]:
        known = "Name languages, as english or en, or datasets, not both."
        raise ValueError(f"weights name languages, and {unknown[0]!r}, which is none. {known}")
    if len(set(codes.values())) < len(codes):
        raise ValueError(f"weights: {', '.join(shares)}: a language twice. Name it once.")
    left = 1 - sum(shares.values())
    if min(shares.values()) < 0 or left < -1e-9:
        raise ValueError(f"weights: {dict(shares)}: expected shares from 0 on that add up to 1 at most")
    share_by_code = {code: shares[name] for name, code in codes.items()}
    group_of = {name: languages[name] if languages[name] in share_by_code else "" for name in sizes}
    groups = dict.fromkeys(["", *share_by_code], 0)  # the rows of each
    for name, size in sizes.items():
        groups[group_of[name]] += size
    for name, code in codes.items():
        if shares[name] and not groups[code]:
            found = ", ".join(sorted({languages[each] or "unknown" for each in sizes if sizes[each]}))
            raise ValueError(f"weights: no dataset of the mixture is in {name}; their languages: {found}.")
    if left > 1e-9 and not groups[""]:
        told = f"weights: {dict(shares)} leaves {left:.3g} to other languages, and the mixture has none"
        raise ValueError(f"{told}. Let the shares add up to 1.")
    share_by_code[""] = max(left, 0.0)
    return {name: share_by_code[group_of[name]] * size / (groups[group_of[name]] or 1) for name, size in sizes.items()}


def as_shares(weights: Weights) -> str | float | Shares:
    """Weights, checked as far as they can be before the datasets are known; "english=0.6" as a table."""
    if isinstance(weights, str) and "=" in weights:
        pairs = [pair.partition("=") for pair in weights.split(",")]
        given = {name.strip(): number.strip() for name, _, number in pairs}
        if len(given) < len(pairs):
            raise ValueError(f"weights={weights!r}: a language twice. Name it once.")
        for name in given:
            if not language_code(name):
                near = nearest(name, CODES, 0)
                raise ValueError(f"weights={weights!r}: there is no language {name!r}. Did you mean {near!r}?")
        try:
            return {name: float(number) for name, number in given.items()}
        except ValueError as error:
            raise ValueError(f"weights={weights!r}: expected a share after each =, as in english=0.6") from error
    if isinstance(weights, Mapping):
        for name, share in weights.items():
            if not isinstance(share, (int, float)):
                raise ValueError(f"weights: {name} has {share!r}, expected a number")
        return weights
    if weights in ("size", "sqrt") or isinstance(weights, (int, float)) and weights > 0:
        return weights
    expected = "'size', 'sqrt', a temperature above 0, name -> share, or a language with its share, 'english=0.6'"
    raise ValueError(f"weights={weights!r}: expected {expected}")


def check_weights(weights: Weights) -> None:
    """ValueError for weights that no mixture can have; whether a table names the right datasets is not known yet."""
    given = as_shares(weights)
    if isinstance(given, Mapping) and not (given and all(map(language_code, given))):
        find_weights(dict.fromkeys(given, 1), given)


def language_code(name: str) -> str | None:
    """The code of a language by its name in English or its code; None for other names."""
    return CODES.get(name.lower())


def read_weights(path: str | os.PathLike) -> Any:
    """A table of weights, from a JSON file of name: share."""
    try:
        table = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"weights: {os.fspath(path)} cannot be read as JSON ({error})") from error
    if not isinstance(table, dict):
        raise ValueError(f"weights: {os.fspath(path)} holds a {type(table).__name__}, expected an object, name: share")
    return table
