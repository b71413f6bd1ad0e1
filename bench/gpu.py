"""How much faster a GPU learns packed rows, and rows that share pictures: `python bench/gpu.py [--out FILE]`, no more
than six minutes on one of 80 GB. `--small` tries the program on a CPU.

A LLaVA and a Qwen2.5-VL of about one billion random weights each, whose forward pass runs in bfloat16 as in
`m3it train --bf16`, learn from captions, five to a picture, and from dialogs of ten turns. The batches are made before
the clock starts: on a machine with a GPU, workers make them.
"""

import argparse
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from train import make_texts, tell  # noqa: E402

from m3it.mixing.mixture import Mixture  # noqa: E402
from m3it.mixing.part import Part  # noqa: E402
from m3it.models.collator import Collator  # noqa: E402
from m3it.models.tiny import train_tokenizer  # noqa: E402
from m3it.training.train import texts_of  # noqa: E402
from m3it.training.trainer import on_answers  # noqa: E402

WARM_STEPS = 2
HOW = {"padded": {}, "packed": {"pack": True}, "packed, pictures shared": {"share_pictures": True}}
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}PICTURE{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKS = [
    *("<|im_start|>", "<|im_end|>", "<image>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"),
]


def make_tokenizer(texts: list[str]) -> Any:
    """A tokenizer of the texts, with the marks of both models."""
    from transformers import PreTrainedTokenizerFast

    trained = train_tokenizer(texts).backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="<pad>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": MARKS})
    return tokenizer


def text_sizes(tokenizer: Any, small: bool) -> dict[str, Any]:
    """A language model of 0.9 billion weights, or of next to none."""
    sizes = dict(zip(("hidden_size", "intermediate_size", "num_hidden_layers"), (2048, 5632, 20), strict=True))
    sizes |= {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2} if small else {}
    return {
        **sizes,
        "vocab_size": len(tokenizer),
        "num_attention_heads": 4 if small else 16,
        "num_key_value_heads": 4 if small else 16,
        "max_position_embeddings": 8192,
        "pad_token_id": tokenizer.pad_token_id,
    }


def llava(tokenizer: Any, small: bool) -> tuple[Any, Any]:
    """LLaVA-1.5: a CLIP of 576 tokens a picture."""
    import transformers as t

    size, patch = (56, 14) if small else (336, 14)
    side = {"height": size, "width": size}
    images = t.CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size=side)
    processor = t.LlavaProcessor(
        images,
        tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("PICTURE", "<image>"),
    )
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    large = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**(sizes if small else large), image_size=size, patch_size=patch),
        text_config=t.LlamaConfig(**text_sizes(tokenizer, small)),
        image_token_index=processor.image_token_id,
    )
    return t.LlavaForConditionalGeneration(config), processor


def qwen(tokenizer: Any, small: bool) -> tuple[Any, Any]:
    """Qwen2.5-VL: about 390 tokens for a picture of 640 x 480."""
    import transformers as t

    class Processor(t.Qwen2_5_VLProcessor):
        def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
            """No video processor: without torchvision there is none."""
            return None if argument is None else super().check_argument_for_proper_class(name, argument)

    most = 16 * 28 * 28 if small else 640 * 28 * 28
    images = t.Qwen2VLImageProcessorPil(size={"shortest_edge": 4 * 28 * 28, "longest_edge": most}, patch_size=14)
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    ids = dict(zip(names, map(tokenizer.convert_tokens_to_ids, MARKS[3:]), strict=True))
    sizes = text_sizes(tokenizer, small)
    vision = {"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "fullatt_block_indexes": [1]}
    large = {"depth": 16, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    large["fullatt_block_indexes"] = [7, 15]
    half = sizes["hidden_size"] // sizes["num_attention_heads"] // 2
    sections = [half - 2 * (3 * half // 8), 3 * half // 8, 3 * half // 8]
    rope = {"rope_type": "default", "mrope_section": sections, "rope_theta": 1e6}
    config = t.Qwen2_5_VLConfig(
        vision_config={**(vision if small else large), "patch_size": 14, "out_hidden_size": sizes["hidden_size"]},
        text_config={**sizes, "rope_parameters": rope},
        **ids,
    )
    processor = Processor(images, tokenizer, chat_template=TEMPLATE.replace("PICTURE", place))
    return t.Qwen2_5_VLForConditionalGeneration(config), processor


def measure(model: Any, batches: list[dict[str, Any]], device: str) -> tuple[float, float]:
    """(seconds, peak memory in GB) of the steps on some batches, the first of which do not count."""
    optimizer = torch.optim.AdamW(model.parameters(), 1e-5, fused=True)
    on_gpu, began = device == "cuda", 0.0
    for step, batch in enumerate(batches):
        if step == WARM_STEPS:
            if on_gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
        inputs = on_answers(batch)
        inputs = {key: value.to(device) if torch.is_tensor(value) else value for key, value in inputs.items()}
        with torch.autocast(device, torch.bfloat16):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - began, torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0


def main() -> None:
    """Measure, print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    device = "cpu" if options.small else "cuda"
    table = []
    with tempfile.TemporaryDirectory() as folder:
        make_texts(Path(folder), options.rows * (options.steps + WARM_STEPS) // 5 + 1)
        for name, make in (("LLaVA", llava), ("Qwen2.5-VL", qwen)):
            for data in ("coco", "visual-dialog"):
                table += lines(name, make, data, folder, device, options)
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU, next to no weights"
    note = (
        f"{options.steps} steps of {options.rows} rows, the model alone, bfloat16, on {where}, "
        f"{os.cpu_count()} cores, torch {version('torch')}, transformers {version('transformers')}; made by "
        "`python bench/gpu.py`."
    )
    head = "| model | data | rows | rows/s | x padded | padding | pictures encoded a row | peak memory, GB |"
    tell([head, "|---|---|---|---:|---:|---:|---:|---:|"], table, note, options.out)


def lines(name: str, make: Any, data: str, folder: str, device: str, options: argparse.Namespace) -> list[list[str]]:
    """The lines of the table about one model and one set."""

    def mixed(shares: bool = False) -> Mixture:
        return Mixture(None, parts=[Part(folder, data)], batch_size=options.rows, share_pictures=shares)

    tokenizer = make_tokenizer(texts_of(mixed()))
    torch.manual_seed(0)
    model, processor = make(tokenizer, options.small)
    model.to(device).train()
    size = sum(each.numel() for each in model.parameters()) / 1e9
    print(f"{name}: {size:.2f} billion weights", file=sys.stderr)
    told, base = [], 0.0
    for how, given in HOW.items():
        mixture, collator = mixed("share_pictures" in given), Collator(processor, 8192, **given)
        mixture.transform = collator.prepare
        size, count = options.rows, options.steps + WARM_STEPS
        batches = [collator(mixture.batch(size * step, size * (step + 1))) for step in range(count)]
        ids = torch.cat([batch["input_ids"].flatten() for batch in batches])
        shown = sum(len(batch.get("image_grid_thw", batch["pixel_values"])) for batch in batches) / size / count
        seconds, memory = measure(model, batches, device)
        rate = size * options.steps / seconds
        base = base or rate
        empty = float((ids == tokenizer.pad_token_id).float().mean())
        counts = [f"{empty:.0%}", f"{shown:.2f}", f"{memory:.1f}"]
        told.append([name, data, how, f"{rate:,.1f}", f"{rate / base:.2f} x", *counts])
    return told


if __name__ == "__main__":
    main()
