"""Load any image-text-to-text model of transformers, ours by their names among them; freeze parts of it, add LoRA."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

import m3it.models.tiny  # noqa: F401 (transformers knows its classes from then on)
from m3it.models.pretrained import pretrained, reading
from m3it.models.ying import YingConfig, YingForConditionalGeneration
from m3it.rows.instance import M3ITError

AutoConfig.register("m3it_ying", YingConfig, exist_ok=True)
AutoModelForImageTextToText.register(YingConfig, YingForConditionalGeneration, exist_ok=True)

VLM, OURS = "an image-text-to-text model", ", 'tiny', or 'ying' with its parts"  # what a name is to be, in errors
# Where transformers' VLMs keep their parts; a name that stands in two of them belongs to the first.
PARTS = {
    "projector": [
        *("multi_modal_projector", "connector", "merger", "deepstack_merger_list", "projector"),
        *("qformer", "query_tokens", "language_projection"),
    ],
    "vision": ["vision_tower", "vision_model", "visual", "vision_encoder"],
    "language": ["language_model", "text_model", "lm_head"],
}


def load_model(name: str | os.PathLike) -> tuple[Any, Any]:
    """(model, processor) of any image-text-to-text model of transformers, by Hub id or folder; LoRA weights that
    `train` wrote are merged into the model that they were learned for. M3ITError where it cannot be loaded."""
    with reading(name, VLM, OURS):
        if (Path(name) / "adapter_config.json").exists():
            model = load_adapted(Path(name))
        else:
            model = pretrained(AutoModelForImageTextToText, name, VLM)
    return model, load_processor(name)


def load_processor(name: str | os.PathLike) -> Any:
    """The processor of such a model, without its weights; M3ITError where it cannot be loaded."""
    from transformers import AutoProcessor

    with reading(name, VLM, OURS):
        processor = pretrained(AutoProcessor, name, VLM)
        if lacking := [part for part in ("tokenizer", "image_processor") if not hasattr(processor, part)]:
            raise ValueError(f"its {type(processor).__name__} has no {' and no '.join(lacking)}")
    return processor


def load_adapted(folder: Path) -> Any:
    """The model that the LoRA weights in a folder were learned for, with these merged into it."""
    from peft import PeftConfig, PeftModel

    base = PeftConfig.from_pretrained(str(folder)).base_model_name_or_path
    if not base or Path(base).resolve() == folder.resolve():
        raise ValueError(f"adapter_config.json names the base model {base!r}")
    return PeftModel.from_pretrained(load_model(base)[0], str(folder)).merge_and_unload()


def part_of(name: str) -> str:
    """Which part a parameter belongs to by its name; "other" if no part's name stands in it."""
    words = set(name.split("."))
    return next((part for part, names in PARTS.items() if words & set(names)), "other")


def freeze(model: PreTrainedModel, parts: Iterable[str]) -> None:
    """Let these parts of a model learn no more: "vision", "projector", "language"."""
    for part in parts:
        found = [parameter for name, parameter in model.named_parameters() if part_of(name) == part]
        if not found:
            raise M3ITError(f"{type(model).__name__} has no part {part!r} to freeze: expected {', '.join(PARTS)}.")
        for parameter in found:
            parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise M3ITError("Every part is frozen: nothing is left to learn.")


def add_lora(model: PreTrainedModel, rank: int) -> Any:
    """The model with LoRA on every linear layer of its language model, by peft; the projector goes on learning as a
    whole if it did, all else stands still."""
    from peft import LoraConfig, get_peft_model

    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    targets = [name for name in names if part_of(name) == "language" and not name.endswith("lm_head")]
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    children = [name for name, module in model.named_modules() if name and part_of(name) == "projector"]
    tops = [name for name in children if part_of(name.rpartition(".")[0]) != "projector"]
    kept = [name for name in tops if any(other.startswith(name + ".") for other in learning)]
    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, modules_to_save=kept or None)
    )
