"""How well and how fast pictures are known again: `python bench/curate.py [--pictures 30000] [--index 10000 100000]`.

Plants 300 exact and 900 altered copies among the pictures (tests/planted.py), fingerprints them, and searches: recall
by kind and false pairs, on the half that the limits were chosen on, and on the other; then how fast pictures are
fingerprinted beside bare decoding, hash libraries beside each other, indexes by their size, and what all of M3IT would
take. Prints Markdown tables.
"""

import argparse
import io
import itertools
import math
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted import (
    KINDS,
    TILE,
    Picture,
    Planted,
    alike,
    easy_vqa,
    encoded,
    photographs,
    pictures,
    plant,
    write_repository,
)

from m3it.curating.fingerprint import fingerprint
from m3it.curating.known import Known, read_known
from m3it.curating.near import NEIGHBOURS, WHOLE, View, build_index, near_pairs, search_index
from m3it.curating.overlay import Tiny
from m3it.curating.prints import print_of
from m3it.rows.images import decode, pixels

VIEWS = 8  # at most, of a picture
DISTINCT_PICTURES = 1_100_000  # of M3IT
CORES = 8

# ---- how well


class Found(NamedTuple):
    """What was found among planted copies: of each half the copies by kind that were planted and found; the pairs of a
    picture and a copy that were looked at, and those that counted as near and are no copy and its original, by why they
    are alike, or by their families where they are not; the seconds of CPU that the search took."""

    hits: list[dict[str, Counter[str]]]
    pairs: list[int]
    alike: list[Counter[str]]
    false: list[Counter[str]]
    seconds: float


def measure(known: Known, planted: list[Planted], every: list[Picture]) -> Found:
    """Search the copies (the split test) among the pictures (the split train)."""
    codes = known.codes["pixels"]
    is_train = np.array([place.endswith("train") for place in known.place])
    ids = [int(row_id) for row_id in known.table["row_id"].to_pylist()]
    train, test = ({ids[i]: int(codes[i]) for i in np.flatnonzero(side)} for side in (is_train, ~is_train))
    on_train, on_test = (np.unique(list(side.values())) for side in (train, test))
    begin = time.process_time()
    across = near_pairs(known.tiny(on_train), known.tiny(on_test))
    seconds = time.process_time() - begin
    near = {(int(on_train[i]), int(on_test[j])) for i, j in zip(across.one, across.other, strict=True)}
    halves = [every[copy.of].half for copy in planted]
    hits = [{kind: Counter[str]() for kind in ("exact", *KINDS)} for _ in (0, 1)]
    for k, copy in enumerate(planted):
        pair = train[copy.of], test[k]
        hits[halves[k]][copy.kind].update(planted=1, found=int(pair[0] == pair[1] or pair in near))
    true = {(train[copy.of], test[k]) for k, copy in enumerate(planted)}
    number_of, copy_of = ({code: number for number, code in side.items()} for side in (train, test))
    same, false = ([Counter[str](), Counter[str]()] for _ in (0, 1))
    for one, other in near - true:
        picture, original = every[number_of[one]], every[planted[copy_of[other]].of]
        why, half = alike(picture, original), original.half
        (same if why else false)[half][why or " + ".join(sorted((picture.family, original.family)))] += 1
    return Found(hits, [len(train) * halves.count(half) for half in (0, 1)], same, false, seconds)


def quality_table(found: Found) -> list[str]:
    """Recall by kind, and the false pairs."""
    lines = ["| altered by | copies of a half | recall, where chosen | recall, other half |", "|---|---:|---:|---:|"]
    for kind in ("exact", *KINDS):
        shares = [hits[kind]["found"] / max(1, hits[kind]["planted"]) for hits in found.hits]
        lines.append(f"| {kind} | {found.hits[1][kind]['planted']} | {shares[0]:.3f} | {shares[1]:.3f} |")
    altered = [[hits[kind] for kind in KINDS if kind != "flip"] for hits in found.hits]
    totals = [sum(hit["found"] for hit in hits) / max(1, sum(hit["planted"] for hit in hits)) for hits in altered]
    lines += [
        f"| all altered but flipped | {sum(h['planted'] for h in altered[1])} | {totals[0]:.3f} | {totals[1]:.3f} |",
        "",
    ]
    for half, name in enumerate(("the half that limits were chosen on", "the other half")):
        false = ", ".join(f"{number} {families}" for families, number in found.false[half].most_common()) or "none"
        same = ", ".join(f"{number} of {why}" for why, number in found.alike[half].most_common()) or "none"
        rate = 1e7 * found.false[half].total() / found.pairs[half]
        lines += [
            f"Of {found.pairs[half]:,} pairs with copies of {name}, false: {false}; {rate:.2f} of 10 million.",
            f"Alike by themselves: {same}.",
        ]
    return lines


# ---- how fast


def speed_table(sets: dict[str, list[bytes]]) -> list[str]:
    """Pictures a second of one core, by CPU time: bare decoding, whole prints, and the hashes of libraries on pixels
    that are there."""
    lines = ["| pictures a second, one core | " + " | ".join(sets) + " |", "|---|" + "---:|" * len(sets)]
    columns = [speeds(files) for files in sets.values()]
    bare = [next(iter(column.values())) for column in columns]
    for name in columns[0]:
        cells = [f"{column[name]:,.0f} ({column[name] / rate:.2f})" for column, rate in zip(columns, bare, strict=True)]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def speeds(files: list[bytes]) -> dict[str, float]:
    """Way -> pictures a second: the median of 15 rounds in which all ways take turns."""
    import imagehash
    import pdqhash

    images = [decode(file) for file in files]
    arrays = [np.asarray(image) for image in images]
    small = [np.asarray(image.resize((64, 64))) for image in images]
    ways: dict[str, tuple[Callable[[Any], Any], list[Any]]] = {
        "decoded to an array, as all readers do": (lambda file: pixels(file, exact=True), files),
        "decoded, no more": (decode, files),
        "decoded, 2 x sha256": (lambda file: (sha256(decode(file).tobytes()), sha256(file)), files),
        "print: 2 x sha256, PDQ, tiny copy, frame": (print_of, files),
        "pdqhash on all pixels": (pdqhash.compute, arrays),
        "pdqhash on 64 x 64": (pdqhash.compute, small),
        "imagehash.phash, 64 bits": (imagehash.phash, images),
        "imagehash.dhash, 64 bits": (imagehash.dhash, images),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(15):
        for name, (way, things) in ways.items():
            start = time.process_time()
            for thing in things:  # one at a time, as they are read
                way(thing)
            seconds[name].append(time.process_time() - start)
    return {name: len(files) / float(np.median(times)) for name, times in seconds.items()}


def speed_sets() -> dict[str, list[bytes]]:
    """The pictures whose speed is measured: sheets of 12 tiles of photographs, and easy-vqa's."""
    sheets, tiles = list[bytes](), [Image.open(io.BytesIO(picture.file)) for picture in photographs()]
    for first in range(0, len(tiles) - 11, 12):
        sheet = Image.new("RGB", (4 * TILE, 3 * TILE))
        for place, tile in enumerate(tiles[first : first + 12]):
            sheet.paste(tile, (TILE * (place % 4), TILE * (place // 4)))
        sheets.append(encoded(sheet))
    plain = [picture.file for picture in itertools.islice(easy_vqa(), 100)]
    return {name: files for name, files in (("photographs, 640 x 480", sheets), ("easy-vqa, 64 x 64", plain)) if files}


class Index(NamedTuple):
    """An index to be measured: its name, what builds it of vectors, what gives the neighbours (n, NEIGHBOURS) of
    queries and its bytes, and up to how many vectors it is sane."""

    name: str
    build: Callable[[np.ndarray], Any]
    search: Callable[[Any, np.ndarray], np.ndarray]
    size: Callable[[Any], int]
    most: int


def index_table(sizes: list[int], tiny: Tiny) -> tuple[list[str], dict[int, tuple[float, float]]]:
    """What indexes take and find, in seconds of CPU; and of ours, by size, the seconds to build it and for a query."""
    lines = [
        "| vectors | index | build, s | ms a query | MB | recall |",
        "|---:|---|---:|---:|---:|---:|",
    ]
    ours: dict[int, tuple[float, float]] = {}
    for size in sizes:
        vectors, queries, wanted = blends(tiny, size)
        for index in indexes():
            if size <= index.most:
                built, query, size_mb, recall = measure_index(index, vectors, queries, wanted)
                lines.append(
                    f"| {size:,} | {index.name} | {built:.1f} | {1000 * query:.2f} | {size_mb:,.0f} | {recall:.3f} |"
                )
                print(lines[-1], file=sys.stderr, flush=True)  # the last take minutes
                ours.setdefault(size, (built, query))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return [*lines, "", f"The process that measured them took {peak:,} MB at its peak."], ours


def blends(tiny: Tiny, size: int, num_queries: int = 1000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (size, 63) of blends of two pictures; queries, which are some of these seen in a box that is off by up to
    a fortieth on each side, as a crop is in the window next to it; and which they are."""
    random = np.random.default_rng(0)
    pairs, shares = random.integers(0, len(tiny.gray), (2, size)), random.uniform(0.2, 0.8, size).astype(np.float32)

    def seen(which: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        share = shares[which][:, None, None]
        one, other = tiny.take(pairs[0][which]), tiny.take(pairs[1][which])
        return View(which, one._replace(gray=one.gray * share + other.gray * (1 - share)), boxes).vectors()

    parts = np.array_split(np.arange(size), math.ceil(size / 4096))
    wanted = random.integers(0, size, num_queries)
    queries = seen(wanted, WHOLE + random.uniform(-0.025, 0.025, (num_queries, 4)))
    return np.concatenate([seen(part, np.tile(WHOLE, (len(part), 1))) for part in parts]), queries, wanted


def measure_index(
    index: Index, vectors: np.ndarray, queries: np.ndarray, wanted: np.ndarray
) -> tuple[float, float, float, float]:
    """(CPU seconds to build, for a query, MB of the index, share of the queries that find what is wanted)."""
    begin = time.process_time()
    built = index.build(vectors)
    middle = time.process_time()
    found = index.search(built, queries)
    end = time.process_time()
    recall = float((found == wanted[:, None]).any(axis=1).mean())
    return middle - begin, (end - middle) / len(queries), index.size(built) / 2**20, recall


def indexes() -> list[Index]:
    """Ours first; faiss's where it is there."""

    def ours(index: Any, queries: np.ndarray) -> np.ndarray:
        found = np.full((len(queries), NEIGHBOURS), -1)
        one, other = search_index(index, queries)
        found[one, np.concatenate([np.arange(n) for n in np.bincount(one) if n])] = other
        return found

    def bits(vectors: np.ndarray) -> np.ndarray:
        return np.packbits(np.pad(vectors > 0, ((0, 0), (0, 1))), axis=1)

    def build_bits(vectors: np.ndarray) -> Any:
        from usearch.index import Index as Usearch

        index = Usearch(ndim=64, metric="hamming", dtype="b1", expansion_search=64)
        index.add(np.arange(len(vectors)), bits(vectors), threads=1)
        return index

    def search_bits(index: Any, queries: np.ndarray) -> np.ndarray:
        return np.asarray(index.search(bits(queries), NEIGHBOURS, threads=1).keys).astype(int)

    def size(index: Any) -> int:
        return int(index.memory_usage)

    return [
        Index("usearch, HNSW", build_index, ours, size, 10**9),
        Index("usearch, HNSW of signs alone", build_bits, search_bits, size, 10**5),
        *faiss_indexes(),
    ]


def faiss_indexes() -> list[Index]:
    """Those of faiss; none where it is not installed."""
    try:
        import faiss
    except ImportError:
        return []

    def hnsw(vectors: np.ndarray) -> Any:
        faiss.omp_set_num_threads(1)
        index = faiss.IndexHNSWFlat(vectors.shape[1], 16)
        index.hnsw.efConstruction, index.hnsw.efSearch = 128, 64
        index.add(vectors.astype(np.float32))
        return index

    def lists(vectors: np.ndarray) -> Any:
        faiss.omp_set_num_threads(1)
        number = int(4 * len(vectors) ** 0.5)
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(vectors.shape[1]), vectors.shape[1], number)
        index.nprobe = 32
        index.train(vectors[: 64 * number].astype(np.float32))
        index.add(vectors.astype(np.float32))
        return index

    def flat(vectors: np.ndarray) -> Any:
        faiss.omp_set_num_threads(1)
        index = faiss.IndexFlatL2(vectors.shape[1])
        index.add(vectors.astype(np.float32))
        return index

    def search(index: Any, queries: np.ndarray) -> np.ndarray:
        return index.search(queries.astype(np.float32), NEIGHBOURS)[1]

    def size(index: Any) -> int:
        return faiss.serialize_index(index).nbytes

    return [
        Index("faiss, HNSW", hnsw, search, size, 10**5),
        Index("faiss, inverted lists", lists, search, size, 10**6),
        Index("faiss, with all", flat, search, size, 10**6),
    ]


def seconds_a_picture(tiny: Tiny) -> float:
    """Seconds of CPU to search a picture among others and compare what is found: of the pictures in halves, both
    ways."""
    begin = time.process_time()
    near_pairs(Tiny(*(array[::2] for array in tiny)), Tiny(*(array[1::2] for array in tiny)))
    return (time.process_time() - begin) / len(tiny.gray)


def estimate(ours: dict[int, tuple[float, float]], seconds_a_picture: float) -> list[str]:
    """How the search grows, and what it takes for ten million pictures and for all of M3IT."""

    def total(size: int) -> float:
        built, query = ours[size]
        return built + VIEWS * size * query

    small, large = sorted(ours)[-2:]
    growth = math.log(total(large) / total(small)) / math.log(large / small)
    lines = [f"From {small:,} to {large:,} vectors, an index and {VIEWS} queries for each take n^{growth:.2f}."]
    for size in (DISTINCT_PICTURES, 10_000_000):
        index, compared = total(large) * (size / large) ** growth, size * seconds_a_picture
        built = ours[large][0] * (size / large) ** growth
        hours = (built + (index - built + compared) / CORES) / 3600
        lines.append(
            f"{size:,} pictures, sought among as many: {index / 3600:.1f} hours of CPU in the index,"
            f" {compared / 3600:.1f} to compare what it finds; {hours:.1f} hours on {CORES} cores (one builds it)."
        )
    return lines


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=30_000)
    parser.add_argument("--index", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text: list[str] = []
    text += [*speed_table(speed_sets()), ""]
    if options.pictures:
        every = pictures(options.pictures)
        planted, num_empty = plant(every, 300, 100)
        with tempfile.TemporaryDirectory() as folder:
            write_repository(Path(folder), every, planted)
            begin = time.perf_counter()
            fingerprint([folder], f"{folder}/prints", workers=os.cpu_count() or 1)
            printed = time.perf_counter() - begin
            known = read_known([f"{folder}/prints"], folder)
            found = measure(known, planted, every)
        families = ", ".join(f"{n:,} {name}" for name, n in Counter(picture.family for picture in every).items())
        text += [
            *quality_table(found),
            f"{families}; {num_empty} empty ones were passed over when copies were planted.",
            f"Fingerprints {printed:.0f} s on {os.cpu_count()} cores, search {found.seconds:.0f} s of CPU.",
            "",
        ]
    if options.index:
        some = [picture.file for picture in pictures(7000) if picture.family != "easy-vqa"]
        tiny = Tiny.of(*zip(*((found.tiny, found.inner) for found in map(print_of, some)), strict=True))
        tables, ours = index_table(options.index, tiny)
        text += [*tables, "", *(estimate(ours, seconds_a_picture(tiny)) if len(ours) > 1 else []), ""]
    text += ["Made by `python bench/curate.py`.", ""]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text), "utf-8")


if __name__ == "__main__":
    main()
