"""How fast a release is made, beside the way that `datasets` has, and how soon its first row streams, in one run:
`python bench/release.py [--gigabytes 5] [--out bench/results/release.md]`.

Makes JSON Lines of rows of about 110 kB, JPEGs of noise, runs each path in processes of its own, by turns, and prints
medians and ratios as a Markdown table. Rates are of JSON Lines read. Needs four times the size of the file on disk, and
the Hub of the tests (tests/hub.py) for the last rows.
"""

import argparse
import base64
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARD = "data/kvqa/viquae/train.jsonl"
PROGRAM = """
import json, os, resource, time
{prepare}
start, own = time.perf_counter(), sum(os.times()[:4])
{timed}
seconds, cpu_seconds = time.perf_counter() - start, sum(os.times()[:4]) - own  # its children's, too
print(json.dumps([seconds, cpu_seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]), flush=True)
os._exit(0)  # a stream that is left reads ahead in threads, which may crash the interpreter when it ends
"""
OURS = """
import shutil
from m3it.publishing.release import release
shutil.rmtree({out!r}, ignore_errors=True)
"""
RELEASE = "release({folder!r}, {out!r}, images={images!r}, workers={workers})"
THEIRS = """
import base64, os, shutil
from multiprocessing import Pool
from datasets import Features, Image, Value, load_dataset
shutil.rmtree({out!r}, ignore_errors=True)
os.makedirs({out!r})
features = Features({{name: Value("string") for name in ("instruction", "inputs", "outputs", "meta")}})
features["images"] = [Image()]
def decode(batch):
    files = [[{{"bytes": base64.b64decode(text), "path": None}} for text in row] for row in batch["image_base64_str"]]
    return {{"images": files}}
def write(number):
    dataset.shard(2, number).to_parquet(f"{out}/train-{{number:05d}}-of-00002.parquet")
"""
MAP = """
dataset = load_dataset("json", data_files={file!r}, split="train", cache_dir={out!r} + "/cache", num_proc=2)
dataset = dataset.map(
    decode, batched=True, batch_size=100, num_proc=2, remove_columns=["image_base64_str"], features=features
)
with Pool(2) as pool:
    pool.map(write, range(2))
"""
HASHES = """
import glob, hashlib
import pyarrow.parquet as pq
paths = glob.glob({out!r} + "/data/kvqa/viquae/train*.parquet")
batches = (batch for path in paths for batch in pq.ParquetFile(path).iter_batches(100, columns=["images"]))
files = [image["bytes"] for batch in batches for row in batch["images"].to_pylist() for image in row]
"""
HASHING = """
for image in files:
    hashlib.sha256(image).hexdigest()
for path in paths:
    with open(path, "rb") as file:
        hashlib.file_digest(file, "sha256")
"""
FIRST_ROW = "row = next(iter(load_dataset({repo!r}, {config!r}, split='train', streaming=True)))"


def make_file(path: Path, num_bytes: float) -> None:
    """Write rows of about 110 kB until the file has `num_bytes`: 24 pictures of noise, with a comment that differs."""
    import numpy as np
    from PIL import Image

    draw, pictures = np.random.default_rng(0), []
    for _ in range(24):
        data = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (311, 423, 3), dtype=np.uint8)).save(data, "JPEG", quality=75)
        pictures.append(data.getvalue())
    path.parent.mkdir(parents=True, exist_ok=True)
    written, number = 0, 0
    with open(path, "wb") as file:
        while written < num_bytes:
            comment = b"\xff\xfe\0\x0a%08d" % number
            picture = pictures[number % len(pictures)]
            image = base64.b64encode(picture[:2] + comment + picture[2:]).decode()
            row = {"instruction": "Answer the question.", "inputs": f"What is {number}?", "image_base64_str": [image]}
            row |= {"outputs": f"{number}", "meta": json.dumps({"id": str(number)})}
            written += file.write((json.dumps(row) + "\n").encode())
            number += 1


def run(prepare: str, timed: str, env: dict[str, str]) -> tuple[float, float, int]:
    """(seconds, CPU seconds, peak RSS in bytes) of one program in a process of its own."""
    env = {**env, "PYTHONPATH": str(ROOT), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    code = PROGRAM.format(prepare=prepare, timed=timed)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{code}\n{done.stderr[-2000:]}")
    return tuple(json.loads(done.stdout.strip().split("\n")[-1]))  # type: ignore[return-value]


def measure_rates(folder: Path, gigabytes: float, repeats: int) -> list[list[str]]:
    """The rows of the table on conversion: what, ours, theirs, ratio or bound."""
    small, large, out = folder / "small", folder / "large", str(folder / "out")
    make_file(small / SHARD, 1e9)
    megabytes = (small / SHARD).stat().st_size / 1e6
    env = {**os.environ, "HF_HOME": str(folder / "home")}
    words = {"file": str(small / SHARD), "folder": str(small), "out": out}
    programs = {
        "ours": (OURS.format(**words), RELEASE.format(**words, images="native", workers=2)),
        "theirs": (THEIRS.format(**words), MAP.format(**words)),
        "pybase64": (THEIRS.format(**words) + "import pybase64 as base64", MAP.format(**words)),  # as we decode
        "both": (OURS.format(**words), RELEASE.format(**words, images="both", workers=2)),
        "one": (OURS.format(**words), RELEASE.format(**words, images="native", workers=1)),
        "hashes": (HASHES.format(**words), HASHING),  # of what "one" has just written
    }
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, (prepare, timed) in programs.items():
            results[name].append(run(prepare, timed, env))
    rate = {name: megabytes / statistics.median(seconds for seconds, _, _ in found) for name, found in results.items()}
    cpu = {name: statistics.median(seconds for _, seconds, _ in found) for name, found in results.items()}
    table = [
        ["image files, 2 workers", f"{rate['ours']:.0f} MB/s", f"{rate['theirs']:.0f} MB/s",
         f"{rate['ours'] / rate['theirs']:.1f} x (asked: 5)"],
        ["the same, both with pybase64", f"{rate['ours']:.0f} MB/s", f"{rate['pybase64']:.0f} MB/s",
         f"{rate['ours'] / rate['pybase64']:.1f} x"],
        ["a second of one core", f"{megabytes / cpu['ours']:.0f} MB", f"{megabytes / cpu['theirs']:.0f} MB",
         f"{cpu['theirs'] / cpu['ours']:.1f} x"],
        ["image files and base64, 2 workers", f"{rate['both']:.0f} MB/s", "", ""],
        ["image files, one worker", f"{rate['one']:.0f} MB/s", "", ""],
        ["the same, a second of one core, all hashes", f"{megabytes / cpu['one']:.0f} MB", "", "(asked: 250)"],
        ["share of sha256 in that, of pictures and files", f"{cpu['hashes'] / cpu['one']:.0%}", "", ""],
    ]  # fmt: skip
    run(*programs["both"], env)
    run_json = json.loads((Path(out) / "run.json").read_text("utf-8"))
    for name, part in (("image files", "viquae-images/"), ("base64", "viquae/"), ("texts", "data/text/")):
        size = sum(file["num_bytes"] for path, file in run_json["files"].items() if part in path) / 1e6
        table.append(
            [f"size, {name}", f"{size:,.0f} MB", f"{megabytes:,.0f} MB of JSON Lines", f"{size / megabytes:.2f} x"]
        )
    make_file(large / SHARD, gigabytes * 1e9)
    words = {"folder": str(large), "out": out, "images": "both", "workers": 1}
    peak = run(OURS.format(**words), RELEASE.format(**words), env)[2]
    table.append([f"peak memory, {gigabytes:g} GB, both", f"{peak / 1e6:,.0f} MB", "", "(asked: below 1 GB)"])
    return table


def measure_first_rows(folder: Path, repeats: int) -> list[list[str]]:
    """The rows of the table on streaming: seconds from load_dataset to the first row, 50 ms from the Hub."""
    sys.path.insert(0, str(ROOT / "tests"))
    from hub import Hub

    from m3it.publishing.release import release

    make_file(folder / "repo" / SHARD, 3e8)
    release(str(folder / "repo"), folder / "release")
    release(str(folder / "repo"), folder / "repo", format="jsonl")
    table = []
    with Hub(folder / "hub", latency_seconds=0.05) as hub:
        hub.add("tests/release", folder / "release")
        hub.add("tests/jsonl", folder / "repo")
        env = hub.environ(folder / "home")
        asked = [("release", "viquae-images"), ("release", "viquae"), ("jsonl", "viquae")]
        found: dict[tuple[str, ...], list[float]] = {}
        for _ in range(repeats):
            for module in ("datasets", "m3it"):
                for repo, config in asked:
                    timed = FIRST_ROW.format(repo=f"tests/{repo}", config=config)
                    seconds = run(f"from {module} import load_dataset", timed, env)[0]
                    found.setdefault((repo, config, module), []).append(seconds)
        for repo, config in asked:
            ours, theirs = (statistics.median(found[repo, config, module]) for module in ("m3it", "datasets"))
            kind = "JSON Lines" if repo == "jsonl" else f"release, {config}"
            table.append([f"first row, {kind}", f"{ours:.2f} s", f"{theirs:.2f} s", f"{theirs / ours:.1f} x"])
    return table


def main() -> None:
    """Measure, print the table, and write it where the card finds it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = measure_rates(Path(folder), options.gigabytes, options.repeats)
        print(*map(" | ".join, table), sep="\n", file=sys.stderr)
        table += measure_first_rows(Path(folder), options.repeats)
    packages = ", ".join(f"{name} {version(name)}" for name in ("datasets", "pyarrow"))
    note = (
        f"Median of {options.repeats}, 1 GB of rows of 110 kB, {os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}, "
        f"Python {sys.version.split()[0]}, {packages}; made by `python bench/release.py`."
    )
    lines = [
        "| what | m3it | `datasets` | ratio |",
        "|---|---:|---:|---:|",
        *(f"| {' | '.join(row)} |" for row in table),
    ]
    text = "\n".join([*lines, "", f"{note}\n"])
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
