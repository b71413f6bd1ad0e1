"""Models made from parts: `tiny`, a small VLM from scratch for CPUs; `ying`, the recipe of Ying-VLM.

tiny   a convolutional stem (one token per 16 x 16 pixels) in front of a small Llama, put together as LLaVA; its
       tokenizer is trained on the data. Everything but the stem is a class of transformers.
ying   a vision encoder, a Q-Former and any causal LM, put together as InstructBLIP. Stage 1 (captions): the Q-Former
       and the projection learn. Stage 2 (instructions): they go on learning; LoRA on the LM is an option.
       Paper: https://arxiv.org/abs/2306.04387, section 4; Q-Former: https://arxiv.org/abs/2305.06500
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from m3it.rows.instance import M3ITError

try:
    import torch
    from torch import nn
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipPreTrainedModel,
        InstructBlipQFormerConfig,
        InstructBlipQFormerModel,
        InstructBlipVisionModel,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.modeling_outputs import BaseModelOutput
except ImportError as missing:
    raise M3ITError("Models need PyTorch and transformers: pip install 'm3it[train]'") from missing

STRIDE = 16  # pixels that a token of the stem stands for, on either side
CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% else %}<s>{% endif %}{% endfor %}"
)


class StemConfig(PreTrainedConfig):
    """Sizes of a convolutional stem."""

    model_type = "m3it_stem"
    base_config_key = "vision_config"

    hidden_size: int = 96
    image_size: int = 48
    patch_size: int = STRIDE


class Stem(PreTrainedModel):
    """(batch, 3, side, side) pixels -> (batch, (side / 16) ** 2, hidden_size): four convolutions, pooled."""

    config: StemConfig
    main_input_name = "pixel_values"
    input_modalities = ["image"]

    def __init__(self, config: StemConfig):
        super().__init__(config)
        widths = [3, 16, 32, 64, config.hidden_size]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:], strict=False):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.MaxPool2d(2), nn.ReLU()]  # with GroupNorm and GELU, colours were learned but hardly shapes
        self.layers = nn.Sequential(*layers)
        self.positions = nn.Parameter(torch.zeros(1, (config.image_size // STRIDE) ** 2, config.hidden_size))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, Stem):
            nn.init.normal_(module.positions, std=0.5)
        else:
            super()._init_weights(module)

    def forward(self, pixel_values: torch.Tensor, **options: Any) -> BaseModelOutput:
        tokens = self.layers(pixel_values.to(self.positions.dtype)).flatten(2).transpose(1, 2) + self.positions
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register("m3it_stem", StemConfig, exist_ok=True)
AutoModel.register(StemConfig, Stem, exist_ok=True)


def train_tokenizer(texts: Iterable[str], vocab_size: int = 2048) -> Any:
    """A byte-level BPE tokenizer of the texts; any Unicode text can be written in it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special, alphabet = ["<pad>", "<s>", "</s>", "<image>"], pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    names = dict(zip(("pad_token", "bos_token", "eos_token"), special, strict=False))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **names, extra_special_tokens={"image_token": "<image>"}, padding_side="right"
    )


def make_tiny(
    texts: Iterable[str], image_size: int = 48, hidden_size: int = 96, num_layers: int = 2, seed: int = 0
) -> tuple[PreTrainedModel, Any]:
    """A fresh tiny model and its processor, whose tokenizer is trained on the texts."""
    from transformers import (
        CLIPImageProcessorPil,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        set_seed,
    )

    tokenizer = train_tokenizer(texts)
    side = {"height": image_size, "width": image_size}
    images = CLIPImageProcessorPil(
        size=side, crop_size=side, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.25] * 3
    )
    processor = LlavaProcessor(
        images, tokenizer, patch_size=STRIDE, vision_feature_select_strategy="full", chat_template=CHAT_TEMPLATE
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=hidden_size**-0.5 / 2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=StemConfig(hidden_size=hidden_size, image_size=image_size),
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(image_size // STRIDE) ** 2,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
    set_seed(seed)
    return LlavaForConditionalGeneration(config), processor


OWN_VISION = "instructblip_vision_model"  # not every transformers finds it by AutoConfig


class YingConfig(InstructBlipConfig):
    """InstructBLIP's config with any vision encoder."""

    model_type = "m3it_ying"

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """The config of a saved model, whose encoder is of the class that its own `model_type` names."""
        seen = config_dict.get("vision_config")
        if isinstance(seen, dict) and seen.get("model_type", OWN_VISION) != OWN_VISION:
            config_dict = {**config_dict, "vision_config": AutoConfig.for_model(**seen)}
        return super().from_dict(config_dict, **kwargs)


class YingForConditionalGeneration(InstructBlipForConditionalGeneration):
    """InstructBLIP with any vision encoder that gives (batch, tokens, hidden_size)."""

    config: YingConfig

    def __init__(self, config: YingConfig):
        InstructBlipPreTrainedModel.__init__(self, config)
        seen: Any = config.vision_config
        qformer: Any = config.qformer_config
        text: Any = config.text_config
        own = seen.model_type == OWN_VISION
        self.vision_model = (InstructBlipVisionModel._from_config if own else AutoModel.from_config)(seen)
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, qformer.hidden_size))
        self.qformer = InstructBlipQFormerModel._from_config(qformer)
        self.language_projection = nn.Linear(qformer.hidden_size, text.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(text)
        self.post_init()


AutoConfig.register("m3it_ying", YingConfig, exist_ok=True)
AutoModelForImageTextToText.register(YingConfig, YingForConditionalGeneration, exist_ok=True)


def make_ying(
    vision: str, language: str, qformer: str | None = None, num_query_tokens: int = 32, seed: int = 0
) -> tuple[PreTrainedModel, Any]:
    """A Ying model and its processor from parts, Hub ids or folders: a vision encoder, a causal LM, and the Q-Former
    of an InstructBLIP; without one, a fresh Q-Former of BERT's size, which reads questions with the LM's tokenizer."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, InstructBlipProcessor, set_seed

    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(language)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    place: Any = tokenizer.convert_tokens_to_ids("<image>")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoder: Any = load_vision(vision)
    decoder: Any = AutoModelForCausalLM.from_pretrained(language)
    reader: Any
    if len(tokenizer) > decoder.get_input_embeddings().num_embeddings:
        decoder.resize_token_embeddings(len(tokenizer))
    if qformer:
        donor: Any = AutoModelForImageTextToText.from_pretrained(qformer)
        reader, queries = donor.qformer, donor.query_tokens.detach()
        asks = AutoProcessor.from_pretrained(qformer).qformer_tokenizer
    else:
        sizes = InstructBlipQFormerConfig(vocab_size=len(tokenizer), encoder_hidden_size=encoder.config.hidden_size)
        reader, asks = InstructBlipQFormerModel(sizes), AutoTokenizer.from_pretrained(language)
        queries = torch.randn(1, num_query_tokens, sizes.hidden_size) * sizes.initializer_range
    if reader.config.encoder_hidden_size != encoder.config.hidden_size:
        found = f"{vision} gives {encoder.config.hidden_size} numbers a token"
        raise M3ITError(f"{qformer}: its Q-Former expects {reader.config.encoder_hidden_size}, {found}.")
    config = YingConfig(
        vision_config=encoder.config,
        qformer_config=reader.config,
        text_config=decoder.config,
        num_query_tokens=queries.shape[1],
        image_token_index=place,
    )
    with torch.device("meta"):  # the parts are there already: their memory is not taken twice
        model = YingForConditionalGeneration(config)
    model.vision_model, model.language_model, model.qformer = encoder, decoder, reader
    model.query_tokens = nn.Parameter(queries.clone())
    model.language_projection = nn.Linear(reader.config.hidden_size, decoder.config.hidden_size)
    model.generation_config = decoder.generation_config
    images = AutoImageProcessor.from_pretrained(vision)
    return model, InstructBlipProcessor(images, tokenizer, asks, num_query_tokens=queries.shape[1])


def load_vision(name: str) -> Any:
    """The vision encoder in a model: in CLIP, SigLIP and the like, in an InstructBLIP, or a model that is one."""
    config = AutoConfig.from_pretrained(name)
    if config.model_type == "instructblip":
        return InstructBlipForConditionalGeneration.from_pretrained(name).vision_model
    return AutoModel.from_pretrained(name, config=getattr(config, "vision_config", config))


def load_model(name: str | os.PathLike) -> tuple[Any, Any]:
    """(model, processor) of any image-text-to-text model of transformers, by Hub id or folder; LoRA weights that
    `train` wrote are merged into the model that they were learned for. M3ITError where it cannot be loaded."""
    from transformers import AutoProcessor

    name = os.fspath(name)
    try:
        if (Path(name) / "adapter_config.json").exists():
            from peft import PeftConfig, PeftModel

            base, _ = load_model(PeftConfig.from_pretrained(name).base_model_name_or_path)
            return PeftModel.from_pretrained(base, name).merge_and_unload(), AutoProcessor.from_pretrained(name)
        return AutoModelForImageTextToText.from_pretrained(name), AutoProcessor.from_pretrained(name)
    except (OSError, ValueError, ImportError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split("\n")[0].split())[:200]
        raise M3ITError(
            f"{name}: cannot be loaded as an image-text-to-text model ({reason}). Expected a Hub id or a folder of "
            "one, 'tiny', or 'ying' with its parts."
        ) from error


# Where transformers' VLMs keep their parts; a name that stands in two of them belongs to the first.
PARTS = {
    "projector": [
        *("multi_modal_projector", "connector", "merger", "deepstack_merger_list", "projector"),
        *("qformer", "query_tokens", "language_projection"),
    ],
    "vision": ["vision_tower", "vision_model", "visual", "vision_encoder"],
    "language": ["language_model", "text_model", "lm_head"],
}


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
