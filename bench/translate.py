"""How fast rows are translated, beside one text after the other: `python bench/translate.py`, with `--out
bench/results/translate.md` for the card.

Makes a model of NLLB's class with random weights (512 wide, 4 layers each way; no weights are fetched) and rows of the
sample's kind: ten instructions, questions that repeat, short answers. Takes turns: `generate` on one text at a time, as
a plain script does; batches in the order of the rows; distinct texts in batches of like length, as `m3it translate`.
Greedy, with as many tokens out as in, since a random model knows no end; in seconds of one core. Then translates 10,000
and 100,000 rows, all different, through the whole stage with a translator that costs nothing, each in a process of its
own, and compares their memory.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

from m3it.catalogue import instructions
from m3it.translating.engines import EngineSettings, by_length
from m3it.translating.translate import WINDOW_ROWS

COLOURS = ["red", "blue", "green", "yellow", "white", "black", "brown", "orange", "pink", "grey"]
THINGS = ["dog", "cat", "car", "house", "tree", "boat", "chair", "fish", "umbrella", "robot", "flower", "star", "train"]


def make_texts(num_rows: int) -> list[str]:
    """Instruction, question and answer of each row: the instructions repeat most, the questions a little."""
    draw = random.Random(0)
    lines, texts = instructions("okvqa"), []
    for _ in range(num_rows):
        colour, thing, other = draw.choice(COLOURS), draw.choice(THINGS), draw.choice(THINGS)
        question = draw.choice([
            f"What colour is the {thing}?", f"How many {thing}s are next to the {colour} {other}?",
            f"What is the {colour} {thing} that stands behind the {other} most often used for in this country?",
        ])  # fmt: skip
        texts += [draw.choice(lines), question, draw.choice([colour, thing, "yes", "no"])]
    return texts


class Words:
    """A stand-in for NLLB's tokenizer: a token for a word, the language first, the end last."""

    pad_token_id, eos_token_id, model_max_length = 1, 2, 512

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [3, *(10 + crc32(word.encode()) % 30_000 for word in text.split()), 2]}


def open_model() -> Any:
    """A model of M2M100's class with random weights."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(0)
    torch.set_num_threads(1)  # else the paths would differ by what else runs
    sizes = {f"{side}_{name}": value for side in ("encoder", "decoder")
             for name, value in (("layers", 4), ("attention_heads", 8), ("ffn_dim", 2048))}  # fmt: skip
    return M2M100ForConditionalGeneration(M2M100Config(vocab_size=32_000, d_model=512, **sizes)).eval()


def generate(model: Any, batch: Sequence[list[int]]) -> None:
    """Write as many tokens as the longest text of the batch has."""
    import torch

    longest = max(map(len, batch))
    ids = torch.tensor([tokens + [1] * (longest - len(tokens)) for tokens in batch])
    with torch.inference_mode():
        model.generate(input_ids=ids, attention_mask=(ids != 1).long(), min_new_tokens=longest, max_new_tokens=longest,
                       num_beams=1, do_sample=False)  # fmt: skip


def one_by_one(model: Any, texts: list[str]) -> None:
    for text in texts:
        generate(model, [Words()(text)["input_ids"]])


def in_order(model: Any, texts: list[str]) -> None:
    ids = [Words()(text)["input_ids"] for text in texts]
    for at in range(0, len(ids), 32):
        generate(model, ids[at : at + 32])


def ours(model: Any, texts: list[str]) -> None:
    done: set[str] = set()
    for at in range(0, len(texts), 3 * WINDOW_ROWS):
        new = [text for text in dict.fromkeys(texts[at : at + 3 * WINDOW_ROWS]) if text not in done]
        done |= set(new)
        ids = [Words()(text)["input_ids"] for text in new]
        for batch in by_length([len(tokens) for tokens in ids]):
            generate(model, [ids[i] for i in batch])


PATHS: dict[str, Callable[[Any, list[str]], None]] = {
    "one text at a time": one_by_one,
    "batches of 32, in order": in_order,
    "m3it: distinct texts, by length": ours,
}


def stage_memory(num_rows: int) -> None:
    """Print the peak memory in MB, and the seconds, of translating so many rows, all different, through the stage."""
    from m3it.translating import engines
    from m3it.translating.translate import translate

    class Nothing:
        """Says each text with its letters replaced by Greek ones."""

        model_name = identity = "nothing"
        max_tokens = 512

        def require(self, *languages: Any) -> None: ...

        def num_tokens(self, text: str) -> int:
            return len(text) // 4

        def translate(self, texts: Sequence[str], *how: Any) -> list[str]:
            return [text.translate(GREEK) for text in texts]

    engines.ServerEngine = lambda settings: Nothing()  # type: ignore[assignment, misc]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "repo/data/vqa/own/train.jsonl"
        path.parent.mkdir(parents=True)
        with open(path, "w", encoding="utf-8") as file:
            for i in range(num_rows):
                row = {"instruction": f"Answer question {i % 10}.", "inputs": f"What is {spell(i)} there?"}
                row |= {"image_base64_str": ["A" * 1000], "outputs": spell(i), "meta": json.dumps({"id": str(i)})}
                file.write(json.dumps(row) + "\n")
        settings = EngineSettings("openai", "nothing", cache_dir=f"{folder}/kept")
        run = translate("own", ["el"], settings, f"{folder}/repo", f"{folder}/out")["el"]
        assert run["files"]["train.jsonl"]["num_rows"] == num_rows, run
    status = Path("/proc/self/status").read_text("utf-8")  # getrusage would tell the peak of whoever started this
    print(int(status.split("VmHWM:")[1].split()[0]) / 1000, time.process_time())


GREEK = str.maketrans("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "αβψδεφγηιξκλμνοπρστθυςωχζϊΑΒΨΔΕΦΓΗΙΞΚΛΜΝΟΠΡΣΤΘΥΫΩΧΖΪ")  # fmt: skip # noqa: E501


def spell(number: int) -> str:
    """The number as a word of letters."""
    return "".join("bdfgklmnpr"[int(digit)] + "aeiou"[int(digit) % 5] for digit in f"{number:06d}")


def measure_paths(num_rows: int, repeats: int) -> list[list[str]]:
    """The rows of the table on speed."""
    model, texts = open_model(), make_texts(num_rows)
    seconds: dict[str, list[float]] = {name: [] for name in PATHS}
    for _ in range(repeats):
        for name, run in PATHS.items():
            start = time.process_time()
            run(model, texts)
            seconds[name].append(time.process_time() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base, asked = medians["one text at a time"], {"m3it: distinct texts, by length": " (asked: 5)"}
    return [
        [name, f"{median:.1f} s", f"{len(texts) / median:.0f}", f"{base / median:.1f} x{asked.get(name, '')}"]
        for name, median in medians.items()
    ]


def measure_memory(sizes: list[int]) -> list[list[str]]:
    """The rows of the table on memory, and what the stage takes beside its model."""
    peaks, table = [], []
    for num_rows in sizes:
        command = [sys.executable, __file__, "--stage-memory", str(num_rows)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peak, seconds = map(float, said.split())
        peaks.append(peak)
        ratio = "" if len(peaks) == 1 else f"{peak / peaks[0]:.2f} x the memory (asked: flat)"
        table.append(
            [f"stage, {num_rows:,} rows, {peak:,.0f} MB", f"{seconds:.1f} s", f"{3 * num_rows / seconds:,.0f}", ratio]
        )
    return table


def main() -> None:
    """Measure, print the table, and write it where the card finds it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--stage-memory", type=int, help="print the memory of so many rows, and no more")
    options = parser.parse_args()
    if options.stage_memory:
        stage_memory(options.stage_memory)
        return
    table = measure_paths(options.rows, options.repeats) + measure_memory(options.memory_rows)
    texts = make_texts(options.rows)
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers"))
    note = (
        f"Seconds of one core, median of {options.repeats}; {options.rows} rows, {len(texts)} texts, {len(set(texts))} "
        f"distinct. The stage alone: masks, checks, memory on disk, a model that costs nothing. Python "
        f"{sys.version.split()[0]}, {packages}; made by `python bench/translate.py`."
    )
    lines = ["| path | time | texts a second | ratio |", "|---|---:|---:|---:|"]
    text = "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table), "", f"{note}\n"])
    print(text)
    if options.out:
        options.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
