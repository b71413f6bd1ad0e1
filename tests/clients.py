"""What other people's programs make of our releases: `nox -s clients` runs this with each, in its own environment.

`python tests/clients.py trl|ms-swift|llamafactory|webdataset|energon|litdata [SCRIPT]`: releases a set, gives it to the
program as it stands, and compares rows and pictures with their source; a trainer is to learn from the pictures: its
loss on pictures that show the answer, and on the same ones painted over.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from m3it import load_dataset
from m3it.publishing.release import release
from m3it.rows.images import encode, read_base64
from m3it.rows.instance import Instance
from m3it.rows.jsonl import line_parts

ROOT = Path(__file__).parents[1]
CONFIGS = ("viquae", "nlvr", "vist")  # one, two and five pictures a row
COLOURS = {"red": (220, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 230), "white": (250, 250, 250)}
STEPS = 150


# ---- trainers


def make_colours(folder: Path, blank: bool) -> None:
    """64 rows about plain pictures, whose answer is the colour; `blank`: all of them grey."""
    path = folder / "data/vqa/colours/train.jsonl"
    path.parent.mkdir(parents=True)
    with open(path, "wb") as file:
        for i in range(64):
            name, colour = list(COLOURS.items())[i % len(COLOURS)]
            picture = Image.new("RGB", (32 + i % 3, 32), (90, 90, 90) if blank else colour)
            file.writelines(
                line_parts(Instance(str(i), "What is shown in the picture?", [encode(picture, "PNG")], name))
            )


def save_model(folder: Path) -> None:
    """A LLaVA with small random weights."""
    sys.path.insert(0, str(ROOT / "tests"))
    from small_models import small

    model, processor = small("llava")
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def options(**values: Any) -> list[str]:
    """Options of a command line."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def train_with_trl(folder: Path, model: Path, script: str | None) -> str:
    """The log of TRL's own script: that of the package, or a file such as examples/scripts/sft_vlm.py."""
    release(str(folder / "in"), folder / "out")
    asked = options(
        model_name_or_path=model, dataset_name=folder / "out", dataset_config="colours-images", max_steps=STEPS,
        learning_rate=5e-3, per_device_train_batch_size=8, logging_steps=30, save_strategy="no", report_to="none",
        output_dir=folder / "trained", max_length=512, bf16=False, use_cpu=True, seed=0,
    )  # fmt: skip
    return run([sys.executable, *([script] if script else ["-m", "trl.scripts.sft"]), *asked])


def train_with_swift(folder: Path, model: Path, script: str | None) -> str:
    """The log of `swift sft` on a config with image files."""
    release(str(folder / "in"), folder / "out")
    columns = '{"instruction":"system","inputs":"query","outputs":"response"}'
    asked = options(
        model=model, model_type="llava1_5_hf", template="llava1_5_hf", tuner_type="full", columns=columns,
        dataset=folder / "out/data/vqa/colours-images/train.parquet", max_steps=STEPS, learning_rate=5e-3,
        per_device_train_batch_size=8, gradient_accumulation_steps=1, logging_steps=30, save_strategy="no",
        output_dir=folder / "trained", max_length=512, torch_dtype="float32", split_dataset_ratio=0, report_to="none",
    )  # fmt: skip
    return run(["swift", "sft", *asked])


def train_with_llamafactory(folder: Path, model: Path, script: str | None) -> str:
    """The log of `llamafactory-cli train` on a release as messages."""
    release(str(folder / "in"), folder / "out", format="messages")
    asked = {
        "stage": "sft", "do_train": True, "finetuning_type": "full", "model_name_or_path": str(model),
        "dataset_dir": str(folder / "out"), "dataset": "colours-train", "template": "llava", "max_steps": STEPS,
        "learning_rate": 5e-3, "per_device_train_batch_size": 8, "logging_steps": 30, "save_strategy": "no",
        "output_dir": str(folder / "trained"), "report_to": "none", "use_cpu": True, "freeze_vision_tower": False,
        "freeze_multi_modal_projector": False,
    }  # fmt: skip
    (folder / "train.yaml").write_text(json.dumps(asked))
    # It imports torchaudio, of which it needs nothing for pictures, and whose wheel wants CUDA's libraries.
    (folder / "torchaudio.py").touch()
    started = "import sys; sys.path.insert(0, sys.argv.pop()); from llamafactory.cli import main; main()"
    return run([sys.executable, "-c", started, "train", str(folder / "train.yaml"), str(folder)])


def run(command: list[str]) -> str:
    """What a program prints; it must end well."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


TRAINERS = {"trl": train_with_trl, "ms-swift": train_with_swift, "llamafactory": train_with_llamafactory}


def train(name: str, script: str | None) -> None:
    """Train on real pictures and on blank ones: only the first can be learnt."""
    losses = []
    for blank in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            make_colours(Path(folder, "in"), blank)
            save_model(Path(folder, "model"))
            log = TRAINERS[name](Path(folder), Path(folder, "model"), script)
            losses.append([float(loss) for loss in re.findall(r"['\"]loss['\"]: ['\"]?([\d.e-]+)", log)])
    real, blanked = losses
    print(f"{name} {version(name)}: loss {real[0]:.2f} -> {real[-1]:.3f}; on blank pictures {blanked[-1]:.3f}")
    assert real[-1] < blanked[-1] / 2, losses


# ---- readers


def known_rows(config: str) -> dict[str, tuple[Any, ...]]:
    """Row id -> texts and digests of pictures, from the source."""
    rows = load_dataset(str(ROOT), config, split="train", meta=True, streaming=True)
    return {
        json.loads(row["meta"])["id"]: (
            *(row[name] for name in ("instruction", "inputs", "outputs")),
            [hashlib.sha256(read_base64(text)).hexdigest() for text in row["image_base64_str"]],
        )
        for row in rows
    }


def in_tar(row: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """A row of a tar by its id, in the words of `known_rows`."""
    said = row["json"] if isinstance(row["json"], dict) else json.loads(row["json"])
    places = sorted(int(name.partition(".")[0]) for name in row if name.endswith(".jpg"))
    digests = [hashlib.sha256(row[f"{place}.jpg"]).hexdigest() for place in places]
    return said["row_id"], (said["instruction"], said["inputs"], said["outputs"], digests)


def read_with_webdataset(folder: Path, config: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """By its pipeline; its decoder must open every picture."""
    import webdataset

    shards = str(folder / config / "train.tar")
    assert all(
        isinstance(picture, Image.Image)
        for row in webdataset.WebDataset(shards, shardshuffle=False).decode("pil")
        for name, picture in row.items()
        if name.endswith(".jpg")
    )
    yield from map(in_tar, webdataset.WebDataset(shards, shardshuffle=False))


def open_with_energon(folder: Path, kind: str, *more: str, encoder: Any = None) -> Any:
    """Its own `prepare`, and the batches of its loader."""
    from megatron import energon

    run(["energon", "prepare", str(folder), "--non-interactive", "--force-overwrite", "--split-parts", "train:train.*",
         "--sample-type", kind, *more])  # fmt: skip
    dataset = energon.get_train_dataset(
        str(folder), batch_size=1, shuffle_buffer_size=None, max_samples_per_sequence=None, repeat=False,
        worker_config=energon.WorkerConfig(rank=0, world_size=1, num_workers=0),
        task_encoder=encoder or energon.DefaultTaskEncoder(),
    )  # fmt: skip
    return energon.get_loader(dataset)


def read_with_energon(folder: Path, config: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """By the field map of docs/formats.md, which has one picture a row; then as crude samples, with all pictures."""
    from megatron import energon

    fields = '{"image":"0.jpg","context":"json[question]","answers":"json[outputs]"}'
    batches = list(open_with_energon(folder / config, "VQASample", "--field-map", fields))
    assert all(batch.image[0].shape[0] == 3 for batch in batches)  # RGB
    asked = {("\n".join(text for text in row[:2] if text), row[2]) for row in known_rows(config).values()}
    assert {(batch.context[0], batch.answers[0]) for batch in batches} == asked, (batches, asked)

    @energon.edataclass
    class Row(energon.Sample):
        read: tuple[str, tuple[Any, ...]]

    @energon.stateless
    def cook(crude: dict[str, Any]) -> Row:
        return Row(**energon.basic_sample_keys(crude), read=in_tar(crude))

    class Rows(energon.DefaultTaskEncoder):
        decoder = None  # the bytes as they are
        cookers = [energon.Cooker(cook)]

        def batch(self, samples: list[Row]) -> list[tuple[str, tuple[Any, ...]]]:
            return [sample.read for sample in samples]

        def encode_batch(self, batch: list[Any]) -> list[Any]:
            return batch

    for ((row_id, row),) in open_with_energon(folder / config, "CrudeWebdataset", encoder=Rows()):
        yield row_id, tuple(row)  # torch's loader makes lists of tuples


def read_with_litdata(folder: Path, config: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The Parquet of a release, indexed and read as it is."""
    import litdata
    from litdata.streaming.item_loader import ParquetLoader

    (parquet,) = folder.glob(f"data/*/{config}-images")
    litdata.index_parquet_dataset(str(parquet))
    for row in litdata.StreamingDataset(str(parquet), item_loader=ParquetLoader()):
        digests = [hashlib.sha256(image["bytes"]).hexdigest() for image in row["images"]]
        if row["source_file"].endswith("train.jsonl"):
            yield row["row_id"], (row["instruction"], row["inputs"], row["outputs"], digests)


READERS = {  # format, package
    "webdataset": ("webdataset", "webdataset", read_with_webdataset),
    "energon": ("webdataset", "megatron-energon", read_with_energon),
    "litdata": ("parquet", "litdata", read_with_litdata),
}


def read(name: str) -> None:
    """Compare every row of some sets with its source."""
    format, package, reader = READERS[name]
    with tempfile.TemporaryDirectory() as folder:
        release(str(ROOT), folder, list(CONFIGS), format=format)
        for config in CONFIGS:
            found, known = dict(reader(Path(folder), config)), known_rows(config)
            assert found == known, (config, found, known)
            print(f"{name} {version(package)}: {len(found)} rows of {config} read as they are")


if __name__ == "__main__":
    client, *more = sys.argv[1:]
    train(client, *(more or [None])) if client in TRAINERS else read(client)
