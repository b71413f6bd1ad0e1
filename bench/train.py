"""How fast decoded pictures reach a trainer, beside its peers, in one run, and how long a step of training waits for
them: `python bench/train.py [--rows 4000] [--out bench/results/train.md]`. With `--pack`, instead: how many rows `tiny`
learns a second padded, packed, and with shared pictures, from easy-vqa, captions and dialogs.

Makes JPEGs of 640 x 480, stores the same rows as our JSON Lines, as a release, and as each peer wants them, and reads
them with 2 workers into uint8 RGB arrays of 336 x 252, bicubic. Each path runs in a process of its own, by turns; the
clock runs from the first batch to the last, so that nobody's start counts. Peers that are not installed are left out:
`pip install webdataset`, `pip install --no-deps litdata mosaicml-streaming`.
"""

import argparse
import base64
import functools
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
BATCH = 32
PROGRAM = """
import base64, glob, io, json, os, time
import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
SIZE = (336, 252)

def by_pillow(file):
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB").resize(SIZE, Image.Resampling.BICUBIC))

def stack(pictures):
    return np.stack(pictures)

{prepare}
if __name__ == "__main__":
    began = count = 0
    for batch in {loop}:
        began = began or time.perf_counter()
        count += len(batch)
    print(json.dumps((count - {batch}) / (time.perf_counter() - began)), flush=True)
    os._exit(0)
"""
LOADER = "DataLoader(dataset, batch_size={batch}, num_workers=2, collate_fn=collate)"
OURS = """
from m3it.rows.images import pixels
from m3it.mixing.mixture import Mixture

def decode(row):
    return pixels(row["images"][0], row["id"], 336)

mixture = Mixture({folder!r}, ["viquae"], batch_size={batch}, transform=decode)
loader = mixture.loader(num_workers=2, collate_fn=stack, num_batches=mixture.num_rows // {batch})
"""
PATHS = {  # name -> (package, what is made before the clock starts, what is looped over)
    "m3it, JSON Lines": ("m3it", OURS.replace("{folder!r}", "{lines!r}"), "loader"),
    "m3it, Parquet of m3it release": ("m3it", OURS.replace("{folder!r}", "{release!r}"), "loader"),
    "bare decoding, files in memory, 2 processes": (
        "m3it",
        """
from m3it.rows.images import pixels
files = [open(path, "rb").read() for path in sorted(glob.glob({files!r} + "/*.jpg"))]
dataset = files
def collate(files):
    return np.stack([pixels(file, "", 336) for file in files])
""",
        LOADER,
    ),
    "`datasets`, JSON loader, PIL": (
        "datasets",
        """
from datasets import load_dataset
dataset = load_dataset("json", data_files={shard!r}, split="train", streaming=True)
def collate(rows):
    return np.stack([by_pillow(base64.b64decode(row["image_base64_str"][0])) for row in rows])
""",
        LOADER,
    ),
    "`datasets`, Parquet, Image": (
        "datasets",
        """
from datasets import load_dataset
dataset = load_dataset("parquet", data_files={parquet!r}, split="train", streaming=True)
dataset = dataset.cast_column("images", [__import__("datasets").Image()])
def collate(rows):
    pictures = [row["images"][0].convert("RGB").resize(SIZE, Image.Resampling.BICUBIC) for row in rows]
    return np.stack([np.asarray(picture) for picture in pictures])
""",
        LOADER,
    ),
    "webdataset, PIL": (
        "webdataset",
        """
import webdataset
dataset = webdataset.WebDataset(sorted(glob.glob({tars!r} + "/*.tar")), shardshuffle=False).shuffle(100)
def collate(rows):
    return np.stack([by_pillow(row["jpg"]) for row in rows])
""",
        LOADER,
    ),
    "litdata, PIL": (
        "litdata",
        """
import litdata
dataset = litdata.StreamingDataset({lit!r}, shuffle=True)
def collate(rows):
    return np.stack([by_pillow(row["jpg"]) for row in rows])
""",
        "litdata.StreamingDataLoader(dataset, batch_size={batch}, num_workers=2, collate_fn=collate)",
    ),
    "MosaicML streaming, PIL": (
        "streaming",
        """
import streaming
dataset = streaming.StreamingDataset(local={mds!r}, shuffle=True, batch_size={batch})
def collate(rows):
    return np.stack([by_pillow(row["jpg"]) for row in rows])
""",
        LOADER,
    ),
}
MAKE_LIT = """
import glob, litdata, sys
def read(path):
    return {"jpg": open(path, "rb").read(), "text": "What is this?"}
if __name__ == "__main__":
    litdata.optimize(read, sorted(glob.glob(sys.argv[1] + "/*.jpg")), sys.argv[2], chunk_bytes="64MB", num_workers=1)
"""
STEP = """
import itertools, json, time
from m3it.models.collator import Collator
from m3it.mixing.mixture import Mixture
from m3it.models.tiny import make_tiny
import torch
torch.set_num_threads(1)  # the other core reads
mixture = Mixture({folder!r}, ["viquae"], batch_size=64)
model, processor = make_tiny(["What is this?", "Answer the question."])
collator = Collator(processor, 512)
mixture.transform = collator.prepare
optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
waited, began = 0.0, 0.0
loader = iter(mixture.loader(num_workers=1, collate_fn=collator, num_batches=24))
for step in range(24):
    asked = time.perf_counter()
    batch = next(loader)
    if step >= 4:  # the first ones fill the queue
        began = began or asked
        waited += time.perf_counter() - asked
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
print(json.dumps(waited / (time.perf_counter() - began)))
"""
PACKED = """
import json, time
import torch
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.models import loading  # makes tiny's classes known
from m3it.models.collator import Collator
from m3it.models.tiny import make_tiny
from m3it.training.train import texts_of
from m3it.training.trainer import on_answers
torch.set_num_threads(1)
how, steps, shares = {how!r}, {steps}, "shared" in {how!r}

def mixed(**options):
    parts, weights = [Part({folder!r}, name) for name in {names!r}], dict.fromkeys({names!r}, 1 / len({names!r}))
    return Mixture(None, parts=parts, batch_size=64, weights=weights, **options)

def memory():
    # MB that the process has had at most since `forget`.
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024

def forget():
    with open("/proc/self/clear_refs", "w") as file:  # of Linux
        file.write("5")

model, processor = make_tiny(texts_of(mixed()))
collator = Collator(processor, 4096, pack="packed" in how, share_pictures=shares)
counts, spent = torch.zeros(4), [0.0]  # padding, places, answer tokens, pictures; seconds of the model

def count(batch):
    ids = batch["input_ids"]
    empty = int((ids == processor.tokenizer.pad_token_id).sum())
    counts.add_(torch.tensor([empty, ids.numel(), int((batch["labels"] != -100).sum()), len(batch["pixel_values"])]))

def tell(seconds):
    empty, places, answers, pictures = (counts / steps).tolist()
    rows = [64 * steps / seconds, answers * steps / seconds, spent[0] / steps, empty / places, pictures / 64]
    print(json.dumps([*rows, memory()]))
"""
OURS_LEARNS = """
optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
mixture = mixed(share_pictures=shares, transform=collator.prepare)

def learn(rows):
    batch = collator(rows)
    began = time.process_time()
    model(**on_answers(batch)).loss.backward()
    spent[0] += time.process_time() - began
    optimizer.step()
    optimizer.zero_grad()
    return batch

forget()
for step in range(2 + steps):
    if step == 2:  # the first ones are slower
        counts.zero_()
        spent[0], began = 0.0, time.process_time()
    count(learn(mixture.batch(64 * step, 64 * step + 64)))
seconds = time.process_time() - began
padded = collator.padded()(mixture.batch(0, 64))["input_ids"].numel()
learn(mixture.batch(0, int(64 * padded * steps / counts[1])))  # as many tokens as 64 rows have padded
tell(seconds)
"""
TRL_LEARNS = """
import itertools, random, tempfile
import datasets, trl
from transformers import TrainerCallback
from m3it.rows.messages import split_answer, to_messages

def length(row):
    return sum(len(part.get("text", "")) for message in to_messages(row) for part in message["content"])

def shown():  # in batches of one length, as group_by_length makes them of more rows than there are here
    rows = sorted(itertools.islice(mixed(), 64 * (2 + steps)), key=length)
    batches = [rows[start : start + 64] for start in range(0, len(rows), 64)]
    random.Random(0).shuffle(batches)
    for row in itertools.chain(*batches):
        prompt, completion = split_answer(to_messages(row), row["id"])
        images = [{{"path": None, "bytes": file}} for file in row["images"]]
        yield {{"images": images, "prompt": prompt, "completion": completion}}

class Clock(TrainerCallback):
    def on_step_begin(self, args, state, control, **more):
        if state.global_step == 2:
            counts.zero_()
            spent[0], self.began = 0.0, time.process_time()
    def on_step_end(self, args, state, control, **more):
        self.seconds = time.process_time() - getattr(self, "began", 0)

class Trainer(trl.SFTTrainer):
    def training_step(self, model, inputs, *more):
        count(inputs)
        began = time.process_time()
        loss = super().training_step(model, inputs, *more)
        spent[0] += time.process_time() - began
        return loss

def features():
    part = {{"type": datasets.Value("string"), "text": datasets.Value("string")}}
    said = [{{"role": datasets.Value("string"), "content": [part]}}]
    return datasets.Features(images=[datasets.Image()], prompt=said, completion=said)

with tempfile.TemporaryDirectory() as folder:
    rows = datasets.Dataset.from_generator(shown, features=features(), cache_dir=folder)
    args = trl.SFTConfig(
        folder, per_device_train_batch_size=64, max_steps=2 + steps, max_length=None, bf16=False, use_cpu=True,
        gradient_checkpointing=False, learning_rate=1e-3, report_to=[], save_strategy="no", disable_tqdm=True,
        train_sampling_strategy="sequential",
    )
    clock = Clock()
    forget()
    Trainer(model, args, processing_class=processor, train_dataset=rows, callbacks=[clock]).train()
    tell(clock.seconds)
"""
TRL = "TRL's SFTTrainer, by length"
HOW = ("padded", "packed", "packed, pictures shared", TRL)
DATA = {name: [name] for name in ("easy-vqa", "coco", "visual-dialog")}
DATA["all three"] = sorted(DATA)
WORDS = "a red blue small large dog cat man woman ball tree car street house near under holding looking at the of"


def make_files(folder: Path, num_rows: int, width: int = 640, height: int = 480) -> None:
    """Write JPEGs of smooth colours with noise: of about 85 kB, as photographs of COCO, where they are 640 x 480."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(num_rows):
        coarse = Image.fromarray(draw.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + draw.integers(-14, 15, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(folder / f"{number:06d}.jpg", quality=80)


def make_lines(folder: Path, paths: list[Path]) -> Path:
    """Write our JSON Lines of some pictures; returns the file."""
    shard = folder / "data/kvqa/viquae/train.jsonl"
    shard.parent.mkdir(parents=True)
    with open(shard, "w", encoding="utf-8") as file:
        for number, path in enumerate(paths):
            row = {"instruction": "Answer the question.", "inputs": "What is this?"}
            row |= {"image_base64_str": [base64.b64encode(path.read_bytes()).decode()], "outputs": f"{number}"}
            file.write(json.dumps(row | {"meta": json.dumps({"id": str(number)})}) + "\n")
    return shard


def make_sets(folder: Path, num_rows: int) -> dict[str, str]:
    """The same rows as every reader wants them; the words of PATHS."""
    import tarfile

    from m3it.publishing.release import release

    files, lines = folder / "files", folder / "lines"
    make_files(files, num_rows)
    make_files(folder / "small files", num_rows, 64, 64)
    paths = sorted(files.glob("*.jpg"))
    shard = make_lines(lines, paths)
    make_lines(folder / "small", sorted((folder / "small files").glob("*.jpg")))
    release(str(lines), folder / "release", images="native", shard_bytes=100_000_000)
    (folder / "tars").mkdir()
    for shard_number in range(4):
        with tarfile.open(folder / f"tars/{shard_number}.tar", "w") as archive:
            for path in paths[shard_number::4]:
                archive.add(path, path.name)
                text = tarfile.TarInfo(f"{path.stem}.txt")
                text.size = len(b"What is this?")
                archive.addfile(text, io.BytesIO(b"What is this?"))
    if works("litdata"):
        (folder / "make_lit.py").write_text(MAKE_LIT, "utf-8")
        call([sys.executable, str(folder / "make_lit.py"), str(files), str(folder / "lit")])
    if works("streaming"):
        from streaming import MDSWriter

        with MDSWriter(out=str(folder / "mds"), columns={"jpg": "bytes", "text": "str"}) as writer:
            for path in paths:
                writer.write({"jpg": path.read_bytes(), "text": "What is this?"})
    names = ("files", "lines", "small", "release", "tars", "lit", "mds")
    parquet = str(folder / "release/data/kvqa/viquae/*.parquet")
    return {name: str(folder / name) for name in names} | {"shard": str(shard), "parquet": parquet}


@functools.cache
def works(package: str) -> bool:
    """Whether a package can be imported: MosaicML's needs a torchvision that fits torch."""
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True, check=False).returncode == 0


def call(command: list[str]) -> str:
    """What a program prints; its error ends the bench."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:3000]}\n{done.stderr[-2000:]}")
    return done.stdout


def measure(folder: Path, num_rows: int, repeats: int) -> list[list[str]]:
    """The rows of the table: path, pictures a second, beside the JSON loader, beside bare decoding."""
    words = {**make_sets(folder, num_rows), "batch": BATCH}
    program = folder / "program.py"
    rates: dict[str, list[float]] = {name: [] for name, (package, _, _) in PATHS.items() if works(package)}
    waits: dict[str, list[float]] = {"small": [], "lines": []}
    for _ in range(repeats):
        for name in rates:
            _, prepare, loop = PATHS[name]
            code = PROGRAM.format(prepare=prepare.format(**words), loop=loop.format(**words), batch=BATCH)
            program.write_text(code, "utf-8")
            rates[name].append(json.loads(call([sys.executable, str(program)]).strip().split("\n")[-1]))
        for name, found in waits.items():
            code = STEP.format(folder=words[name])
            found.append(json.loads(call([sys.executable, "-c", code]).strip().split("\n")[-1]))
    median = {name: statistics.median(found) for name, found in rates.items()}
    loader, bare = median["`datasets`, JSON loader, PIL"], next(r for n, r in median.items() if n.startswith("bare"))
    table = [[name, f"{rate:,.0f}", f"{rate / loader:.2f} x", f"{rate / bare:.2f}"] for name, rate in median.items()]
    table += [[name, "cannot be imported here", "", ""] for name in PATHS if name not in median]
    for name, size in (("small", "64 x 64"), ("lines", "640 x 480")):
        said = f"share of a step of `tiny` that waits, batch 64, {size}, 1 worker"
        table.append([said, f"{statistics.median(waits[name]):.1%}", "", ""])
    return table


def make_texts(folder: Path, num_pictures: int) -> None:
    """Write captions, five to a picture of 640 x 480, and dialogs, of ten turns about one, each with those before."""
    import random

    draw, words = random.Random(0), WORDS.split()
    make_files(folder / "pictures", num_pictures)
    files = [base64.b64encode(path.read_bytes()).decode() for path in sorted((folder / "pictures").glob("*.jpg"))]
    lines: dict[str, list[str]] = {"captioning/coco": [], "generation/visual-dialog": []}

    def add(place: str, picture: str, instruction: str, inputs: str, outputs: str) -> None:
        row = {"instruction": instruction, "inputs": inputs, "image_base64_str": [picture], "outputs": outputs}
        lines[place].append(json.dumps(row | {"meta": json.dumps({"id": str(len(lines[place]))})}))

    for picture in files:
        said = " ".join(draw.choices(words, k=10))
        for _ in range(5):
            add("captioning/coco", picture, "Describe the picture.", "", " ".join(draw.choices(words, k=10)))
        for _ in range(10):
            asked, told = " ".join(draw.choices(words, k=6)) + "?", " ".join(draw.choices(words, k=2))
            add("generation/visual-dialog", picture, "Answer the question.", f"{said}\nQ: {asked}", told)
            said = f"{said}\nQ: {asked}\nA: {told}"
    for place, texts in lines.items():
        (folder / "data" / place).mkdir(parents=True)
        (folder / "data" / place / "train.jsonl").write_text("".join(f"{line}\n" for line in texts), "utf-8")


def measure_packing(folder: Path, steps: int, repeats: int) -> list[list[str]]:
    """The rows of the table: data, how they are laid out, rows and answer tokens a second, beside padded ones in all
    and of the model alone, padding, pictures a row, memory."""
    from m3it.quickstart import EASY, make_rows

    make_rows(folder, [EASY], None, lambda line: None)
    make_texts(folder, 64 * (steps + 2) // 5 + 1)
    table = []
    for data, names in DATA.items():
        code = {
            how: (PACKED + (TRL_LEARNS if how == TRL else OURS_LEARNS)).format(
                folder=str(folder), names=names, how=how, steps=steps
            )
            for how in HOW
            if how != TRL or works("trl")
        }
        with ThreadPoolExecutor(2) as pool:  # a core each
            said = list(pool.map(call, [[sys.executable, "-c", code[how]] for how in [*code] * repeats]))
        found = [json.loads(text.strip().split("\n")[-1]) for text in said]
        median = {
            how: [statistics.median(column) for column in zip(*found[i :: len(code)], strict=True)]
            for i, how in enumerate(code)
        }
        base = median["padded"]
        for how, (rows, answers, learning, empty, pictures, memory) in median.items():
            times = [f"{rows / base[0]:.2f} x", f"{base[2] / learning:.2f} x"]
            counts = [f"{empty:.0%}", f"{pictures:.2f}", f"{memory:,.0f}"]
            table.append([data, how, f"{rows:,.0f}", f"{answers:,.0f}", *times, *counts])
    return table


def main() -> None:
    """Measure, print the table, and write it where the card finds it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=5, help="3 are enough for --pack")
    parser.add_argument("--pack", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.pack:
        main_packing(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), options.rows, options.repeats)
    found = ", ".join(
        f"{name} {version(name)}" for name in ("datasets", "webdataset", "litdata", "mosaicml-streaming", "pillow")
        if works({"mosaicml-streaming": "streaming", "pillow": "PIL"}.get(name, name))
    )  # fmt: skip
    note = (
        f"Median of {options.repeats}, {options.rows:,} JPEGs of 640 x 480 to 336 x 252, 2 workers, "
        f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f}, {found}; made by `python bench/train.py`."
    )
    tell(["| path | pictures/s | x JSON loader | of bare decoding |", "|---|---:|---:|---:|"], table, note, options.out)


def main_packing(options: argparse.Namespace) -> None:
    """The same of packing."""
    with tempfile.TemporaryDirectory() as folder:
        table = measure_packing(Path(folder), options.steps, options.repeats)
    trl = f", trl {version('trl')}" if works("trl") else ""
    note = (
        f"Seconds of one core for rows read, decoded, collated and learned from; median of {options.repeats}, "
        f"{options.steps} steps of 64 rows, load {os.getloadavg()[2]:.1f}, torch {version('torch')}, transformers "
        f"{version('transformers')}{trl}; made by `python "
        "bench/train.py --pack`."
    )
    head = "| data | rows | rows/s | answer tokens/s | x padded | model alone | padding | pictures a row | memory, MB |"
    tell([head, "|---|---|---:|---:|---:|---:|---:|---:|---:|"], table, note, options.out)


def tell(head: list[str], table: list[list[str]], note: str, out: Path | None) -> None:
    """Print a table, and write it."""
    text = "\n".join([*head, *(f"| {' | '.join(row)} |" for row in table), "", f"{note}\n"])
    print(text)
    if out:
        out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
