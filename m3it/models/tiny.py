"""`tiny`: a small VLM from scratch, for CPUs.

A convolutional stem (one token per 16 x 16 pixels) in front of a small Llama, put together as LLaVA; its tokenizer is
trained on the data. Everything but the stem is a class of transformers.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

STRIDE = 16  # pixels that a token of the stem stands for, on either side
CHAT_TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% else %}<s>{% endif %}{% endfor %}"
)


class StemConfig(PreTrainedConfig):
    """Sizes of a convolutional stem."""

    model_type = "m3it_stem_2"  # another number where weights of before would not fit
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
            # Pooled before it is normalised: a quarter of the work. With GroupNorm and GELU, colours were learned but
            # hardly shapes.
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.MaxPool2d(2)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
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
        pixels = pixel_values.to(self.positions.dtype, memory_format=torch.channels_last)  # twice as fast on a CPU
        tokens = self.layers(pixels).flatten(2).transpose(1, 2) + self.positions
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(StemConfig.model_type, StemConfig, exist_ok=True)  # for whoever makes or loads one
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
