"""What other people's trainers read of `m3it release --format messages`: `nox -s trainers` runs this with each of them.

`python tests/read_messages.py ms-swift|llamafactory`: releases three sets of the sample, reads them by the trainer's
own loader, and compares every row with its source.
"""

import hashlib
import importlib.machinery
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from m3it import load_dataset
from m3it.publishing.release import release
from m3it.rows.images import read_base64

ROOT = Path(__file__).parents[1]
CONFIGS = {"viquae": "kvqa", "nlvr": "reasoning", "vist": "generation"}  # one, two and five pictures a row


def read_swift(folder: Path, config: str) -> Iterator[dict[str, Any]]:
    """The rows as ms-swift gives them to its templates."""
    from swift.dataset import load_dataset

    yield from load_dataset(f"{folder}/data/{CONFIGS[config]}/{config}/train.parquet", num_proc=1)[0]


def read_llamafactory(folder: Path, config: str) -> Iterator[dict[str, Any]]:
    """The rows as LLaMA-Factory gives them to its templates."""
    # Its wheel of torchaudio wants CUDA's libraries, and it imports it for sounds, of which there are none here.
    silent = types.ModuleType("torchaudio")
    silent.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = silent
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import Seq2SeqTrainingArguments

    (known,) = get_dataset_list([f"{config}-train"], str(folder))
    data = DataArguments(dataset=f"{config}-train", dataset_dir=str(folder), template="llava")
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "out"), use_cpu=True, report_to=[])
    for row in _load_single_dataset(known, ModelArguments(model_name_or_path="none"), data, training):
        yield {"messages": row["_prompt"] + row["_response"], "images": row["_images"]}


READERS = {"ms-swift": read_swift, "llamafactory": read_llamafactory}


def main(trainer: str) -> None:
    """Compare; ends with a traceback where a row differs."""
    with tempfile.TemporaryDirectory() as folder:
        release(str(ROOT), folder, list(CONFIGS), format="messages")
        for config in CONFIGS:
            source = load_dataset(str(ROOT), config, split="train", cache_dir=f"{folder}/cache")
            found = list(READERS[trainer](Path(folder), config))
            assert len(found) == len(source), (config, len(found), len(source))
            for row, known in zip(found, source, strict=True):
                images = [read_base64(text) for text in known["image_base64_str"]]
                asked = "\n".join(text for text in (known["instruction"], known["inputs"]) if text)
                user, assistant = row["messages"]
                assert user["content"] == "<image>" * len(images) + asked, (user, known)
                assert assistant["content"] == known["outputs"], (assistant, known)
                hashes = [hashlib.sha256(image["bytes"]).digest() for image in row["images"]]
                assert hashes == [hashlib.sha256(image).digest() for image in images], config
            print(f"{trainer}: {len(found)} rows of {config} read as they are")


if __name__ == "__main__":
    main(sys.argv[1])
