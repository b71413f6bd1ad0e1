"""Real classes of transformers with small random weights, their real processors with tokenizers trained here, and rows
that they learn from."""

from pathlib import Path
from typing import Any

from conftest import picture

from m3it.models.tiny import train_tokenizer

TEXTS = [
    "What is shown in the picture?",
    "The picture shows a red circle, a blue square.",
    "USER: ASSISTANT: system user",
]
QWEN = (  # as Qwen2.5-VL writes conversations
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VICUNA = (  # as LLaVA-1.5 does: images first, and nothing that ends an answer
    "{% for m in messages %}{% if m['role'] == 'user' %}USER: "
    "{% for c in m['content'] if c['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %} "
    "{% else %}ASSISTANT: {% for c in m['content'] %}{{ c['text'] }} {% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
IDEFICS = (  # as Idefics3 and SmolVLM do
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}{% else %}<image>{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
NAMES = ("llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "instructblip")


def tokenizer_with(*special: str) -> Any:
    """A tokenizer of `TEXTS` with these marks; it does not say which of them stands for an image."""
    from transformers import PreTrainedTokenizerFast

    trained = train_tokenizer(TEXTS, 320).backend_tokenizer
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def text_sizes(tokenizer: Any, **more: Any) -> dict[str, Any]:
    """A language model of two narrow layers."""
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    lengths = {"num_key_value_heads": 4, "max_position_embeddings": 2048}
    return {"vocab_size": len(tokenizer), **sizes, **lengths, **ids, "tie_word_embeddings": False, **more}


def small(name: str) -> tuple[Any, Any]:
    """(model, processor) of a model type."""
    from transformers import set_seed

    set_seed(0)
    return {
        "llava": llava,
        "qwen2_5_vl": qwen2_5_vl,
        "qwen3_vl": qwen3_vl,
        "idefics3": idefics3,
        "smolvlm": smolvlm,
        "instructblip": instructblip,
    }[name]()


def llava() -> tuple[Any, Any]:
    import transformers as t

    tokenizer = tokenizer_with("<image>")
    images = t.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = t.LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = t.LlavaConfig(
        vision_config=t.CLIPVisionConfig(**vision, image_size=28, patch_size=14),
        text_config=t.LlamaConfig(**text_sizes(tokenizer)),
        image_token_index=processor.image_token_id,
    )
    return t.LlavaForConditionalGeneration(config), processor


def without_videos(processor: Any) -> Any:
    """The class without its check of the video processor: lacking torchvision, transformers takes not even None."""

    class WithoutVideos(processor):
        def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
            return None if argument is None else super().check_argument_for_proper_class(name, argument)

    return WithoutVideos


def qwen(processor: Any, model: Any, config: Any, patch: int, **vision: Any) -> tuple[Any, Any]:
    import transformers as t

    marks = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    tokenizer = tokenizer_with(*marks)
    image_size = {"shortest_edge": 4 * patch * patch, "longest_edge": 16 * patch * patch}
    images = t.Qwen2VLImageProcessorPil(size=image_size, patch_size=patch)
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    ids = dict(zip(names, (tokenizer.convert_tokens_to_ids(mark) for mark in marks[2:]), strict=True))
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0, "mrope_interleaved": True}
    text = text_sizes(tokenizer, rope_parameters=rope, **({"head_dim": 8} if "qwen3" in config.model_type else {}))
    made = config(
        vision_config={**vision, "patch_size": patch, "num_heads": 4, "out_hidden_size": 32}, text_config=text, **ids
    )
    return model(made), without_videos(processor)(images, tokenizer, chat_template=QWEN)


def qwen2_5_vl() -> tuple[Any, Any]:
    import transformers as t

    sizes = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "fullatt_block_indexes": [1], "window_size": 28}
    kinds = (t.Qwen2_5_VLProcessor, t.Qwen2_5_VLForConditionalGeneration, t.Qwen2_5_VLConfig)
    return qwen(*kinds, patch=14, **sizes)


def qwen3_vl() -> tuple[Any, Any]:
    import transformers as t

    sizes = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "deepstack_visual_indexes": [0]}
    kinds = (t.Qwen3VLProcessor, t.Qwen3VLForConditionalGeneration, t.Qwen3VLConfig)
    return qwen(*kinds, patch=16, num_position_embeddings=16, **sizes)


def idefics(processor: Any, image_processor: Any, model: Any, config: Any) -> tuple[Any, Any]:
    tokenizer = tokenizer_with(
        "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>", "<|im_start|>", "<row_1_col_1>"
    )
    images = image_processor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    made = config(
        vision_config={**vision, "image_size": 28, "patch_size": 7},
        text_config={"model_type": "llama", **text_sizes(tokenizer)},
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    return model(made), processor(images, tokenizer, image_seq_len=4, chat_template=IDEFICS)


def idefics3() -> tuple[Any, Any]:
    import transformers as t

    return idefics(
        t.Idefics3Processor, t.Idefics3ImageProcessorPil, t.Idefics3ForConditionalGeneration, t.Idefics3Config
    )


def smolvlm() -> tuple[Any, Any]:
    import transformers as t

    def processor(*arguments: Any, **options: Any) -> Any:
        return without_videos(t.SmolVLMProcessor)(*arguments, video_processor=None, **options)

    return idefics(processor, t.SmolVLMImageProcessorPil, t.SmolVLMForConditionalGeneration, t.SmolVLMConfig)


def instructblip() -> tuple[Any, Any]:
    import transformers as t

    tokenizer, asked = tokenizer_with("<image>"), train_tokenizer(TEXTS, 300)
    images = t.BlipImageProcessorPil(size={"height": 28, "width": 28})
    processor = t.InstructBlipProcessor(images, tokenizer, asked, num_query_tokens=4)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = t.InstructBlipConfig(
        vision_config={**sizes, "image_size": 28, "patch_size": 14, "initializer_range": 0.02},
        qformer_config={**sizes, "vocab_size": len(asked), "encoder_hidden_size": 32},
        text_config={"model_type": "llama", **text_sizes(tokenizer)},
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return t.InstructBlipForConditionalGeneration(config), processor


def ying_parts(folder: Path) -> dict[str, str]:
    """Folders of a CLIP, a Llama with its tokenizer, and an InstructBLIP whose Q-Former fits the CLIP."""
    import transformers as t

    t.set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = t.CLIPVisionConfig(**sizes, image_size=28, patch_size=14)
    text = t.CLIPTextConfig(**sizes, vocab_size=99)
    config = t.CLIPConfig(vision_config=vision.to_dict(), text_config=text.to_dict())
    t.CLIPModel(config).save_pretrained(folder / "v")
    images = t.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    images.save_pretrained(folder / "v")
    tokenizer = tokenizer_with()
    t.LlamaForCausalLM(t.LlamaConfig(**text_sizes(tokenizer))).save_pretrained(folder / "l")
    tokenizer.save_pretrained(folder / "l")
    for part in small("instructblip"):
        part.save_pretrained(folder / "q")
    return {"vision": str(folder / "v"), "language": str(folder / "l"), "qformer": str(folder / "q")}


def row(num_images: int = 1, **changes: Any) -> dict[str, Any]:
    """A row of a mixture."""
    images = [picture(i) for i in range(num_images)]
    texts = {"instruction": "Look at the picture.", "inputs": "What is shown?", "outputs": "a red circle"}
    return {"dataset": "d", "id": f"row-{num_images}", **texts, "images": images, "meta": {}, **changes}


ROWS = [row(n) for n in (0, 1, 2, 5, 8)]


def step(model: Any, batch: dict[str, Any], learning_rate: float = 1e-2) -> float:
    """The loss before one step of AdamW, on the parameters that may learn."""
    import torch

    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], learning_rate)
    loss = model(**batch).loss
    loss.backward()
    optimizer.step()
    return loss.item()


def loss_of(model: Any, batch: dict[str, Any]) -> float:
    """The loss without learning."""
    import torch

    with torch.no_grad():
        return model.eval()(**batch).loss.item()
