"""How fast a release in each format is written, beside copying the same bytes, in one run:
`python bench/formats.py [--megabytes 500] [--out bench/results/formats.md]`.

Makes JSON Lines of rows of about 110 kB (bench/release.py), writes them in each format in a process of its own, by
turns with copying the files that it wrote, and prints medians, ratios and peak memory of two sizes as a Markdown table.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from release import SHARD, make_file, run

from m3it.publishing.formats import FORMATS

PREPARE = """
import shutil
from m3it.publishing.release import release
shutil.rmtree({out!r}, ignore_errors=True)
"""
TIMED = "release({folder!r}, {out!r}, format={format!r})"


def copy_seconds(source: Path, target: Path) -> float:
    """Seconds to copy what a release consists of, file by file, without its notes."""
    shutil.rmtree(target, ignore_errors=True)
    start = time.perf_counter()
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".work"))
    return time.perf_counter() - start


def measure(folder: Path, megabytes: float, repeats: int) -> list[list[str]]:
    """A row for each format: its rate, that of copying, the ratio, peak memory of a half and of the whole."""
    env, out, table = {**os.environ, "HF_HOME": str(folder / "home")}, folder / "out", []
    for name, share in (("half", 0.5), ("whole", 1)):
        make_file(folder / name / SHARD, megabytes * share * 1e6)
    for format in ("parquet", *FORMATS):
        words = {"out": str(out), "format": format}
        half = run(PREPARE.format(**words), TIMED.format(**words, folder=str(folder / "half")), env)[2]
        seconds, copied, peaks = [], [], []
        for _ in range(repeats):
            spent, _, peak = run(PREPARE.format(**words), TIMED.format(**words, folder=str(folder / "whole")), env)
            seconds.append(spent)
            peaks.append(peak)
            copied.append(copy_seconds(out, folder / "copy"))
        size = sum(path.stat().st_size for path in (folder / "copy").rglob("*") if path.is_file()) / 1e6
        ours, theirs = statistics.median(seconds), statistics.median(copied)
        memory = f"{half / 1e6:.0f} and {statistics.median(peaks) / 1e6:.0f} MB"
        table.append([format, f"{size / ours:.0f} MB/s", f"{size / theirs:.0f} MB/s", f"{theirs / ours:.2f}", memory])
    return table


def main() -> None:
    """Measure, print the table, and write it where a file is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), options.megabytes, options.repeats)
    lines = ["| format | written | copied | ratio | peak memory of half and of all |", "|---|---:|---:|---:|---:|"]
    lines += [f"| {' | '.join(row)} |" for row in table]
    note = (
        f"Median of {options.repeats}, {options.megabytes:g} MB of JSON Lines, one worker, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[2]:.1f}, Python {sys.version.split()[0]}; made by `python bench/formats.py`."
    )
    text = "\n".join([*lines, "", f"{note}\n"])
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
