"""How well and how fast pictures are known again: `python bench/curate.py [--pictures 30000] [--index 10000 100000]`.

Plants 300 exact and 900 altered copies among the pictures (tests/planted.py), fingerprints them, and searches: recall
by kind and false pairs, on the half that the limits were not chosen on; then how fast pictures are fingerprinted beside
bare decoding, hash libraries beside each other, and indexes by their size. Prints Markdown tables.
"""

import argparse
import io
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted import KINDS, TILE, easy_vqa, encoded, photographs, pictures, plant, write_repository

from m3it.curating.fingerprint import fingerprint
from m3it.curating.known import Known, read_known
from m3it.curating.near import build_index, near_pairs, search_index
from m3it.curating.prints import print_of
from m3it.rows.images import decode, pixels


def measure(known: Known, planted: list[Any], families: list[str], half: int) -> dict[str, Any]:
    """Recall by kind of the copies of one half (0: even, 1: odd), and the false pairs of all pictures with all, by the
    families of the two; easy-vqa's among themselves, and pairs within the sample, are counted apart."""
    codes, tiny = known.codes["pixels"], known.tiny(np.arange(len(known.first_of_code)))
    is_train = np.array([place.endswith("train") for place in known.place])
    ids = [int(row_id) for row_id in known.table["row_id"].to_pylist()]
    train, test = ({ids[i]: int(codes[i]) for i in np.flatnonzero(side)} for side in (is_train, ~is_train))
    on_train, on_test = (np.unique(list(side.values())) for side in (train, test))
    across = near_pairs(tiny.take(on_train), tiny.take(on_test))
    near = {(int(on_train[i]), int(on_test[j])) for i, j in zip(across.one, across.other, strict=True)}
    true = {(train[copy.of], test[k]) for k, copy in enumerate(planted)}
    blank = tiny.is_blank()
    hits = {kind: Counter() for kind in ("exact", *KINDS)}
    for k, copy in enumerate(planted):
        if k % 2 == half:
            pair = train[copy.of], test[k]
            hits[copy.kind].update(planted=1, found=int(pair[0] == pair[1] or pair in near))
            hits[copy.kind].update(blank=int(blank[pair[0]] and pair[0] != pair[1]))
    family = {code: families[number] for number, code in train.items()}
    origin = {test[k]: families[copy.of] for k, copy in enumerate(planted)}
    false = Counter(" + ".join(sorted((family[one], origin[other]))) for one, other in near - true if one != other)
    return {"hits": hits, "false": false, "pairs": len(train) * len(test)}


def quality_table(found: dict[str, Any]) -> list[str]:
    """Recall by kind, and the false pairs."""
    lines = ["| altered by | planted | found | recall | too plain to compare |", "|---|---:|---:|---:|---:|"]
    for kind, hits in found["hits"].items():
        share = hits["found"] / max(1, hits["planted"])
        lines.append(f"| {kind} | {hits['planted']} | {hits['found']} | {share:.3f} | {hits['blank']} |")
    altered = [hits for kind, hits in found["hits"].items() if kind not in ("exact", "flip")]
    total = sum(hits["found"] for hits in altered) / max(1, sum(hits["planted"] for hits in altered))
    told = ", ".join(f"{number} {families}" for families, number in found["false"].most_common()) or "none"
    rate = 1e7 * found["false"].total() / found["pairs"]
    return [*lines, "", f"All altered but flipped: {total:.3f}. Of {found['pairs']:,} pairs, false: {told}; "
            f"{rate:.2f} of 10 million."]  # fmt: skip


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


def index_table(sizes: list[int]) -> list[str]:
    """Seconds to build, milliseconds a query, recall of a neighbour up to 80 bits away: usearch beside faiss."""
    lines = ["| hashes | index | build s | ms a query | recall |", "|---:|---|---:|---:|---:|"]
    random = np.random.default_rng(0)
    for size in sizes:
        base = random.integers(0, 256, (size, 32), dtype=np.uint8)
        wanted = random.integers(0, size, 500)
        bits = np.unpackbits(base[wanted], axis=1)
        for row in bits:
            row[random.choice(256, random.integers(80), replace=False)] ^= 1
        queries = np.packbits(bits, axis=1)
        for name, build, search in (("usearch", build_index, search_index), *faiss_indexes()):
            begin = time.perf_counter()
            index = build(base)
            built = time.perf_counter()
            one, other = search(index, queries)
            done = time.perf_counter()
            found = len({int(i) for i, j in zip(one, other, strict=True) if wanted[i] == j}) / len(wanted)
            lines.append(f"| {size:,} | {name} | {built - begin:.1f} | {2 * (done - built):.2f} | {found:.3f} |")
    return lines


def faiss_indexes() -> list[Any]:
    """(name, build, search) of faiss, where it is there."""
    try:
        import faiss
    except ImportError:
        return []

    def hnsw(base: np.ndarray) -> Any:
        index = faiss.IndexBinaryHNSW(256, 16)
        index.add(base)
        index.hnsw.efSearch = 128
        return index

    def flat(base: np.ndarray) -> Any:
        index = faiss.IndexBinaryFlat(256)
        index.add(base)
        return index

    def search(index: Any, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, found = index.search(queries, 8)
        return np.repeat(np.arange(len(queries)), 8), found.ravel()

    return [("faiss HNSW", hnsw, search), ("faiss, all with all", flat, search)]


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
        planted = plant(every, 300, 100)
        with tempfile.TemporaryDirectory() as folder:
            write_repository(Path(folder), every, planted)
            begin = time.perf_counter()
            fingerprint([folder], f"{folder}/prints", workers=2)
            printed = time.perf_counter()
            known = read_known([f"{folder}/prints"], folder)
            found = measure(known, planted, [picture.family for picture in every], half=1)
            done = time.perf_counter()
        families = ", ".join(f"{n:,} {name}" for name, n in Counter(picture.family for picture in every).items())
        text += [
            *quality_table(found),
            f"{families}. Fingerprints {printed - begin:.0f} s, search {done - printed:.0f} s.",
            "",
        ]
    text += [*index_table(options.index), "", "Made by `python bench/curate.py`.", ""]
    print("\n".join(text))
    if options.out:
        options.out.write_text("\n".join(text), "utf-8")


if __name__ == "__main__":
    main()
