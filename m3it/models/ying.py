"""`ying`: the recipe of Ying-VLM, a vision encoder, a Q-Former and any causal LM, put together as InstructBLIP.

Stage 1 (captions): the Q-Former and the projection learn. Stage 2 (instructions): they go on learning; LoRA on the LM
is an option. Paper: https://arxiv.org/abs/2306.04387, section 4; Q-Former: https://arxiv.org/abs/2305.06500
"""

from typing import Any

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
    PreTrainedModel,
)

from m3it.models.pretrained import pretrained, reading
from m3it.rows.instance import M3ITError

SEES, SPEAKS = "a vision encoder", "a causal language model"
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
        self.vision_model = (
            InstructBlipVisionModel._from_config(seen) if own else AutoModel.from_config(seen, trust_remote_code=False)
        )
        self.query_tokens = nn.Parameter(torch.zeros(1, config.num_query_tokens, qformer.hidden_size))
        self.qformer = InstructBlipQFormerModel._from_config(qformer)
        self.language_projection = nn.Linear(qformer.hidden_size, text.hidden_size)
        self.language_model = AutoModelForCausalLM.from_config(text, trust_remote_code=False)
        self.post_init()


def make_ying(
    vision: str, language: str, qformer: str | None = None, num_query_tokens: int = 32, seed: int = 0
) -> tuple[PreTrainedModel, Any]:
    """A Ying model and its processor from parts, Hub ids or folders: a vision encoder, a causal LM, and the Q-Former
    of an InstructBLIP; without one, a fresh Q-Former of BERT's size, which reads questions with the LM's tokenizer."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, InstructBlipProcessor, set_seed

    set_seed(seed)
    tokenizer = pretrained(AutoTokenizer, language, SPEAKS)
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    place: Any = tokenizer.convert_tokens_to_ids("<image>")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    encoder: Any = load_vision(vision)
    decoder: Any = pretrained(AutoModelForCausalLM, language, SPEAKS)
    reader: Any
    if len(tokenizer) > decoder.get_input_embeddings().num_embeddings:
        decoder.resize_token_embeddings(len(tokenizer))
    if qformer:
        with reading(qformer, "an InstructBLIP"):
            donor: Any = pretrained(AutoModelForImageTextToText, qformer, "an InstructBLIP")
            reader, queries = donor.qformer, donor.query_tokens.detach()
            asks = pretrained(AutoProcessor, qformer, "an InstructBLIP").qformer_tokenizer
    else:
        sizes = InstructBlipQFormerConfig(vocab_size=len(tokenizer), encoder_hidden_size=encoder.config.hidden_size)
        reader, asks = InstructBlipQFormerModel(sizes), pretrained(AutoTokenizer, language, SPEAKS)
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
    images = pretrained(AutoImageProcessor, vision, SEES)
    return model, InstructBlipProcessor(images, tokenizer, asks, num_query_tokens=queries.shape[1])


def load_vision(name: str) -> Any:
    """The vision encoder in a model: in CLIP, SigLIP and the like, in an InstructBLIP, or a model that is one."""
    config = pretrained(AutoConfig, name, SEES)
    if config.model_type == "instructblip":
        return pretrained(InstructBlipForConditionalGeneration, name, SEES).vision_model
    return pretrained(AutoModel, name, SEES, config=getattr(config, "vision_config", config))
