"""How fast rows load, beside the JSON loader of `datasets`, in one run: `python bench/load.py [--gigabytes 5] [--out
bench/results/load.md]`. With `--cold`, instead: how a mixture starts on 10 million rows of text.

Makes files of rows of about 110 kB, times each path in a process of its own, alternating, and prints medians and
ratios as a Markdown table. The pictures are random bytes: no path decodes them. Needs twice the file's size on disk,
and torch for the row with DataLoader workers.
"""

import argparse
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

ROW_BYTES = 110_000
SHARD = "data/kvqa/viquae/train.jsonl"
OURS = "from m3it import load_dataset as load; dataset = load({folder!r}, 'viquae', split='train', streaming=True)"
JSON = (
    "from datasets import load_dataset as load\n"
    "dataset = load('json', data_files={file!r}, split='train', streaming=True)"
)
# The timed part of each path; `dataset` is made before the clock starts, as a training script would.
STREAM = "rows = sum(1 for _ in dataset)"
WORKERS = """
loader = DataLoader(dataset, batch_size=32, num_workers=2, collate_fn=collate)
rows = sum(len(batch['inputs']) for batch in loader)
"""
BATCHES = """
from torch.utils.data import DataLoader
collate = lambda rows: {key: [row[key] for row in rows] for key in rows[0]}
"""
# What no reader can pass: rows that lie in memory already, so that all the work is their way between processes.
HELD = """
import itertools, json
from torch.utils.data import IterableDataset
class Held(IterableDataset):
    def __init__(self):
        with open({file!r}) as file:
            self.rows = [json.loads(line) for line in itertools.islice(file, 64)]
    def __iter__(self):
        return (self.rows[i % 64] for i in range({num_rows} // 2))
dataset = Held()
"""
PREPARE_OURS = "rows = load({folder!r}, 'viquae', split='train', cache_dir={cache!r}, num_proc={procs}).num_rows"
PREPARE_JSON = "rows = load('json', data_files={file!r}, split='train', cache_dir={cache!r}, num_proc={procs}).num_rows"
# With --cold: what is made before the clock starts, and what is timed, in seconds of CPU but for the place of a row.
COLD_SHARD = "data/vqa/vqa-v2/train.jsonl"
START = "from m3it.mixing.mixture import Mixture; mixture = Mixture({folder!r}, ['vqa-v2'], cache_dir={cache!r})\n"
COLD = {
    "lines": ("", "rows = sum(1 for _ in open({file!r}, 'rb'))"),
    "first": ("import shutil; shutil.rmtree({cache!r}, ignore_errors=True)\n" + START, "rows = mixture.num_rows"),
    "next": (START, "rows = mixture.num_rows"),
    "place": (
        START + "mixture.order.place(1); far = mixture.num_rows - 1",  # of another lane: nothing of this one is known
        "mixture.order.place(far); rows = 1",
    ),
    "rows": (
        START,
        "for number in range(0, mixture.num_rows, 500): mixture.row(number)\nrows = mixture.num_rows // 500",
    ),
}
PROGRAM = """
import json, resource, sys, time
{prepare}
start = time.{clock}()
{timed}
seconds = time.{clock}() - start
print(json.dumps([seconds, rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024]))
"""


def make_file(path: Path, num_bytes: float) -> int:
    """Write rows of about 110 kB until the file has `num_bytes`; returns their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw, written, num_rows = random.Random(0), 0, 0
    with open(path, "wb") as file:
        while written < num_bytes:
            image = base64.b64encode(draw.randbytes(ROW_BYTES * 3 // 4)).decode()
            row = {"instruction": "Answer the question.", "inputs": f"What is {num_rows}?", "image_base64_str": [image]}
            written += file.write(
                (
                    json.dumps({**row, "outputs": f"{num_rows}", "meta": json.dumps({"id": str(num_rows)})}) + "\n"
                ).encode()
            )
            num_rows += 1
    return num_rows


def make_texts(path: Path, num_rows: int) -> None:
    """Write rows of text alone, of about 500 bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    words = [f"{draw.choice('bdfgklmnprst')}{draw.choice('aeiou')}{draw.choice('klmnrst')}" for _ in range(2000)]
    texts = [" ".join(draw.choices(words, k=draw.randrange(40, 120))) for _ in range(1000)]
    with open(path, "w", encoding="utf-8") as file:
        for number in range(num_rows):
            row = (
                f'{{"instruction": "Answer the question.", "inputs": "{texts[number % 1000]}", "image_base64_str": [], '
            )
            file.write(f'{row}"outputs": "{number}", "meta": "{{\\"id\\": \\"{number}\\"}}"}}\n')


def run(prepare: str, timed: str, home: str, clock: str = "perf_counter") -> tuple[float, int, int]:
    """(seconds, rows, peak RSS in bytes) of one program in a process of its own."""
    env = {**os.environ, "HF_HOME": home, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    code = PROGRAM.format(prepare=prepare, timed=timed, clock=clock)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{code}\n{done.stderr[-2000:]}")
    return tuple(json.loads(done.stdout.strip().split("\n")[-1]))  # type: ignore[return-value]


def side_by_side(
    programs: dict[str, tuple[str, str]], repeats: int, home: str
) -> dict[str, list[tuple[float, int, int]]]:
    """Each program `repeats` times, taking turns, so that a slow minute of the machine falls on all."""
    results: dict[str, list] = {name: [] for name in programs}
    for _ in range(repeats):
        for name, (prepare, timed) in programs.items():
            results[name].append(run(prepare, timed, home))
    return results


def rate(results: list[tuple[float, int, int]]) -> float:
    """Median rows per second."""
    return statistics.median(rows / seconds for seconds, rows, _ in results)


def resume_seconds(folder: Path, home: str, repeats: int) -> list[float]:
    """Seconds from a state at 90 % of the file to the first row: a real state, taken by reading until there once."""
    state = folder / "state.json"
    read = OURS.format(folder=str(folder)) + "\nimport json, itertools\nit = iter(dataset)"
    num_rows = run(OURS.format(folder=str(folder)), STREAM, home)[1]
    run(
        read,
        f"rows = sum(1 for _ in itertools.islice(it, {num_rows * 9 // 10}))\n"
        f"json.dump(dataset.state_dict(), open({str(state)!r}, 'w'))",
        home,
    )
    load = OURS.format(folder=str(folder)) + f"\ndataset.load_state_dict(json.load(open({str(state)!r})))"
    return [
        run(load, f"rows = int(next(iter(dataset))['outputs'])\nassert rows == {num_rows * 9 // 10}", home)[0]
        for _ in range(repeats)
    ]


def compare(
    path: str, programs: dict[str, tuple[str, str]], repeats: int, home: str, bound: str = ""
) -> list[tuple[str, str, str, str]]:
    """A row of the table: the programs whose names begin with m3it beside those with json, each at its best; and one of
    what `bound` reaches."""
    rates = {name: rate(results) for name, results in side_by_side(programs, repeats, home).items()}
    ours, theirs = (max(r for name, r in rates.items() if name.startswith(who)) for who in ("m3it", "json"))
    rows = [(path, f"{ours:,.0f} rows/s", f"{theirs:,.0f} rows/s", f"{ours / theirs:.2f} x")]
    if bound:
        most = rates[bound]
        rows.append((f"{path}: rows held in memory", f"{most:,.0f} rows/s", "", f"bound: {most / theirs:.2f} x"))
    return rows


def measure(folder: Path, gigabytes: float, repeats: int) -> list[tuple[str, str, str, str]]:
    """Rows of the table: path, ours, the JSON loader, ratio or bound."""
    small, large, home = folder / "small", folder / "large", str(folder / "home")
    num_rows = make_file(small / SHARD, 5e8)
    words = {"folder": str(small), "file": str(small / SHARD), "cache": str(folder / "cache")}
    ours, peer = OURS.format(**words), JSON.format(**words)
    table = compare("stream, one process", {"m3it": (ours, STREAM), "json": (peer, STREAM)}, repeats, home)
    try:
        version("torch")
    except ModuleNotFoundError:
        table.append(("stream, 2 DataLoader workers", "not measured: no torch", "", ""))
    else:
        held = HELD.format(**words, num_rows=num_rows)
        programs = {name: (code + BATCHES, WORKERS) for name, code in (("m3it", ours), ("json", peer), ("held", held))}
        table += compare("stream, 2 DataLoader workers, batches of 32", programs, repeats, home, bound="held")
    clean = "import shutil; shutil.rmtree({cache!r}, ignore_errors=True)\n".format(**words)
    programs = {
        f"{name} {procs}": (clean + first, code.format(**words, procs=procs if procs > 1 else None))
        for procs in (1, 2)
        for name, first, code in (("m3it", ours, PREPARE_OURS), ("json", peer, PREPARE_JSON))
    }
    table += compare("prepare, each at its better num_proc", programs, repeats, home)
    make_file(large / SHARD, gigabytes * 1e9)
    resumed = f"{statistics.median(resume_seconds(large, home, repeats)) * 1000:.0f} ms"
    table.append((f"resume at 90 % of {gigabytes:g} GB: time to first row", resumed, "", "bound: 50 ms"))
    return [*table, measure_memory(small, large, gigabytes, repeats, home), measure_import(repeats, home)]


def measure_memory(small: Path, large: Path, gigabytes: float, repeats: int, home: str) -> tuple[str, str, str, str]:
    """The row of the peak memory of streaming a small file and a large one."""
    programs = {name: (OURS.format(folder=str(f)), STREAM) for name, f in (("small", small), ("large", large))}
    found = side_by_side(programs, repeats, home)
    few, many = (statistics.median(peak for *_, peak in found[name]) for name in ("small", "large"))
    peaks = f"{few / 1e6:,.0f} and {many / 1e6:,.0f} MB"
    return f"peak memory, streaming 0.5 and {gigabytes:g} GB", peaks, "", f"{many / few:.2f} x"


def measure_import(repeats: int, home: str) -> tuple[str, str, str, str]:
    """The row of the time until our configs can be listed."""
    listing = "import M3IT, m3it; rows = len(M3IT.config_names())"
    imports = side_by_side({"m3it": ("", listing), "datasets": ("", "import datasets; rows = 1")}, repeats, home)
    a, b = (statistics.median(seconds for seconds, *_ in imports[name]) for name in ("m3it", "datasets"))
    return "import m3it and list 600 configs", f"{a:.2f} s", f"{b:.2f} s (import datasets)", f"{a - b:+.2f} s"


def measure_cold(folder: Path, num_rows: int, repeats: int) -> list[tuple[str, str, str, str]]:
    """Rows of the table: what is measured, of a fifth of the rows, of all, and what they are held against."""
    found: list[dict[str, list[float]]] = []
    for number in (num_rows // 5, num_rows):
        words = {"folder": str(folder), "cache": str(folder / "cache"), "file": str(folder / COLD_SHARD)}
        make_texts(Path(words["file"]), number)
        runs: dict[str, list[tuple[float, int, int]]] = {name: [] for name in COLD}
        for _ in range(repeats):
            for name, programs in COLD.items():
                clock = "perf_counter" if name == "place" else "process_time"
                runs[name].append(run(*(code.format(**words) for code in programs), str(folder / "home"), clock))
        found.append({name: [*map(statistics.median, zip(*several, strict=True))] for name, several in runs.items()})
    few, many = found

    def row(what: str, name: str, at: int, unit: str, scale: float, held: str) -> tuple[str, str, str, str]:
        return what, f"{few[name][at] * scale:,.2f} {unit}", f"{many[name][at] * scale:,.2f} {unit}", held

    return [
        row("every line read once", "lines", 0, "s", 1, ""),
        row(
            "first start: rows are found", "first", 0, "s", 1, f"{many['first'][0] / many['lines'][0]:.2f} x the lines"
        ),
        row("its peak memory", "first", 2, "MB", 1e-6, f"{many['first'][2] / few['first'][2]:.2f} x"),
        row("next start", "next", 0, "ms", 1e3, ""),
        row("the place of the last row of an epoch", "place", 0, "ms", 1e3, "bound: 1 ms"),
        row(
            "peak memory, each 500th row read, the index mapped",
            "rows",
            2,
            "MB",
            1e-6,
            f"{many['rows'][2] / few['rows'][2]:.2f} x",
        ),
    ]


def main() -> None:
    """Measure, print the table, and write it where the card finds it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cold", type=int, nargs="?", const=10_000_000, metavar="ROWS")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, repeats = Path(name), options.repeats
        if options.cold:
            head = ["what", f"{options.cold // 5:,} rows", f"{options.cold:,} rows", ""]
            table = measure_cold(folder, options.cold, repeats)
        else:
            head = ["path", "m3it", "JSON loader of `datasets`", "ratio"]
            table = measure(folder, options.gigabytes, repeats)
    packages = ", ".join(f"{name} {version(name)}" for name in ("datasets", "pyarrow", "fsspec"))
    rows = "rows of text of 450 bytes, seconds of CPU" if options.cold else f"rows of {ROW_BYTES // 1000} kB"
    machine = f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {packages}"
    command = "python bench/load.py" + (" --cold" if options.cold else "")
    lines = [f"| {' | '.join(row)} |" for row in (head, *table)]
    note = f"Median of {repeats}, {rows}, {machine}; made by `{command}`."
    text = "\n".join([lines[0], "|---|---:|---:|---:|", *lines[1:], "", f"{note}\n"])
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    started = time.time()
    main()
    print(f"{time.time() - started:.0f} s in all", file=sys.stderr)
