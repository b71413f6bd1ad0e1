"""m3it/models/collator.py: places for images, loss on the answers only; real processors, token by token."""

import base64
import io
from functools import cache

import pytest
from conftest import make_row, picture, write_rows
from PIL import Image

from m3it.rows.instance import M3ITError, ShardError

pytest.importorskip("transformers", reason="transformers is an extra")
torch = pytest.importorskip("torch", reason="torch is an extra")

from small_models import NAMES, row, small  # noqa: E402

from m3it.mixing.mixture import Mixture  # noqa: E402
from m3it.models.collator import Collator  # noqa: E402
from m3it.rows.images import ImageError  # noqa: E402

NUM_IMAGES = (0, 1, 2, 5, 8)
ENDS = {"llava": "</s>", "instructblip": "</s>", "idefics3": "<end_of_utterance>", "smolvlm": "<end_of_utterance>"}


@cache
def processor(name):
    return small(name)[1]


def learned(collator, batch, i):
    """What the i-th row of a batch is learned from, as text."""
    labels = batch["labels"][i]
    return collator.tokenizer.decode(labels[labels != -100])


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_on_the_outputs_and_their_end_for_any_number_of_images(name):
    collator = Collator(processor(name), 4096)
    batch = collator([row(n) for n in NUM_IMAGES])
    end = ENDS.get(name, "<|im_end|>")
    assert [learned(collator, batch, i).strip() for i in range(5)] == [f"a red circle{end}"] * 5
    for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
        kept = labels != -100
        assert (labels[kept] == ids[kept]).all() and mask[kept].all()
        assert kept.nonzero().flatten().diff().eq(1).all()  # one stretch, no gap


@pytest.mark.parametrize("name", NAMES)
def test_every_token_before_the_answer_is_the_prompt_that_generation_gets(name):
    collator = Collator(processor(name), 4096)
    for n in NUM_IMAGES:
        batch, prompt = collator([row(n)]), collator.prompts([row(n)])
        first = (batch["labels"][0] != -100).nonzero()[0].item()
        assert batch["input_ids"][0][:first].tolist() == prompt["input_ids"][0].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_rows_padded(name):
    collator = Collator(processor(name), 4096)
    batch = collator([row(n) for n in NUM_IMAGES])
    for i, n in enumerate(NUM_IMAGES):
        alone = collator([row(n)])
        length = alone["input_ids"].shape[1]
        for key in ("input_ids", "labels"):
            assert batch[key][i][:length].tolist() == alone[key][0].tolist()
        assert batch["attention_mask"][i].sum() == length
        assert (batch["labels"][i][length:] == -100).all()


@pytest.mark.parametrize("name", NAMES)
def test_cut_texts_lose_their_ends_and_no_image_token(name):
    whole = Collator(processor(name), 4096)
    full = whole([row(2)])
    length, place = full["input_ids"].shape[1], image_token(name)
    long = row(2, inputs="What is shown? " * 400)
    collator = Collator(processor(name), length + 20)
    batch = collator([long])
    assert length < batch["input_ids"].shape[1] <= length + 20
    assert (batch["input_ids"] == place).sum() == (full["input_ids"] == place).sum() > 0
    assert learned(collator, batch, 0) == learned(whole, full, 0)
    story = collator([row(2, outputs="a red circle " * 400)])
    assert (story["input_ids"] == place).sum() == (full["input_ids"] == place).sum()
    assert learned(collator, story, 0).startswith(learned(whole, full, 0).split("circle")[0])
    assert not learned(collator, story, 0).strip().endswith(ENDS.get(name, "<|im_end|>"))  # it goes on in the row
    assert story["input_ids"].shape[1] <= length + 20


def image_token(name):
    tokenizer = processor(name).tokenizer
    return tokenizer.convert_tokens_to_ids("<|image_pad|>" if "qwen" in name else "<image>")


def test_images_that_alone_are_too_long_are_refused_with_the_row_id():
    collator = Collator(processor("llava"), 20)
    with pytest.raises(M3ITError, match="row-8: its 8 images take .* tokens without any text, more than the 20"):
        collator([row(1), row(8)])


def test_a_row_is_processed_alone_only_if_its_tokens_may_not_fit(monkeypatch):
    Image.new("RGB", (64, 48)).save(file := io.BytesIO(), "PNG")
    given = {**row(1, inputs="picture " * 200), "images": [file.getvalue()]}  # about 200 tokens, and 1,600 bytes
    length = Collator(processor("llava"), 4096)([given])["input_ids"].shape[1]
    num_alone = []
    for spare in (16, -1):
        collator, alone = Collator(processor("llava"), length + spare), []
        encode = collator._encode
        monkeypatch.setattr(
            collator, "_encode", lambda *args, encode=encode, alone=alone: alone.append(1) or encode(*args)
        )
        collator.prepare(given)
        num_alone.append(len(alone))
    assert num_alone == [0, 1]


MARKS = "</s> <|im_end|> <image> <|image_pad|> <end_of_utterance> <s><pad> <|im_start|>"


@pytest.mark.parametrize("name", NAMES)
def test_tokens_of_the_template_are_words_in_the_data(name):
    collator, tokenizer = Collator(processor(name), 4096), processor(name).tokenizer
    special = [token for token, added in tokenizer.added_tokens_decoder.items() if added.special]
    rows = [row(n, inputs=f"What is {MARKS}?", outputs=f"a red {MARKS} circle") for n in (0, 2)]
    batch, plain = collator(rows), collator([row(n) for n in (0, 2)])
    for i in range(2):
        counts = [
            [int((b["input_ids"][i][b["attention_mask"][i] == 1] == t).sum()) for t in special] for b in (batch, plain)
        ]
        assert counts[0] == counts[1]
        assert learned(collator, batch, i).strip() == f"a red {MARKS} circle{ENDS.get(name, '<|im_end|>')}"
        length = int(batch["attention_mask"][i].sum())
        assert (batch["input_ids"][i][length:] == tokenizer.pad_token_id).all()
        assert (batch["labels"][i][length:] == -100).all()
        assert f"What is {MARKS}?" in tokenizer.decode(batch["input_ids"][i][:length])
        prompt = collator.prompts(rows)["input_ids"][i].tolist()
        before = (batch["labels"][i] != -100).nonzero()[0].item()
        assert prompt[len(prompt) - before :] == batch["input_ids"][i][:before].tolist()


def test_the_qformer_reads_marks_as_they_are():
    batch = Collator(processor("instructblip"), 4096)([row(1, instruction="", inputs="a <image>?")])
    assert processor("instructblip").qformer_tokenizer.decode(batch["qformer_input_ids"][0]).endswith("a <image>?")


def test_a_tokenizer_without_a_token_to_spare_names_the_row():
    _, poor = small("llava")
    poor.tokenizer.pad_token = poor.tokenizer.eos_token  # and no other special token is left that stands nowhere
    poor.chat_template += "{# <pad> #}"
    collator = Collator(poor)
    with pytest.raises(ShardError, match="row-1: its text holds '</s>', which the tokenizer") as caught:
        collator([row(1, inputs="What is </s>?")])
    assert caught.value.reason == "special token"


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_a_picture_that_the_processor_refuses_is_found_when_the_row_is_prepared(name):
    collator, line = Collator(processor(name), 4096), io.BytesIO()
    Image.new("RGB", (400, 1)).save(line, "PNG")
    odd = row(1, id="odd", images=[line.getvalue()])
    with pytest.raises(ShardError, match="^odd: .* cannot take the row .*aspect ratio") as caught:
        collator.prepare(odd)
    assert caught.value.reason == "refused by the processor"
    with pytest.raises(ShardError, match="^odd: "):
        collator([row(1), odd, row(2)])


@pytest.mark.parametrize("name", NAMES)
def test_too_many_image_tokens_are_found_when_the_row_is_prepared(name):
    collator = Collator(processor(name), 60)
    assert len(collator.prepare(row(0, inputs="What is shown? " * 100)).images) == 0  # its text can be cut
    with pytest.raises(ShardError, match="many: its 30 images take .* tokens without any text") as caught:
        collator.prepare(row(30, id="many"))
    assert caught.value.reason == "too many image tokens"


def test_the_row_that_is_to_blame_is_named_and_dropped_by_a_mixture(tmp_path):
    line = io.BytesIO()
    Image.new("RGB", (400, 1)).save(line, "PNG")
    rows = [
        make_row(i, image_base64_str=[base64.b64encode(line.getvalue() if i == 3 else picture(i)).decode()])
        for i in range(8)
    ]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows)
    collator = Collator(processor("qwen2_5_vl"), 4096)
    mixture = Mixture(tmp_path, ["gqa"], batch_size=4, transform=collator.prepare, on_error="drop")
    seen = [prepared.id for prepared in map(mixture.row, range(8)) if prepared is not None]
    assert sorted(seen) == [f"row-{i}" for i in range(8) if i != 3]
    assert mixture.drops() == {"gqa": {"refused by the processor": 1}}


def test_the_processor_is_not_asked_twice_about_rows_that_it_takes(monkeypatch):
    for name in ("llava", "qwen2_5_vl", "idefics3", "instructblip"):
        collator = Collator(processor(name), 4096)
        monkeypatch.setattr(collator, "_encode", None)
        assert len(collator.prepare(row(2, images=[photograph()] * 2)).images) == 2


def test_a_template_that_drops_images_is_refused():
    _, deaf = small("llava")
    deaf.chat_template = deaf.chat_template.replace("<image>", "")
    with pytest.raises(ShardError, match=r"row-2: the text has 0 places for images \(<image>\), the row has 2"):
        Collator(deaf)([row(2)])


@pytest.mark.parametrize("said", ["''", "c['text'] | upper"])
def test_an_answer_that_a_template_changes_is_not_looked_for_in_the_words_of_the_template(said):
    """Found there it would be learned there, in silence."""
    _, odd = small("llava")
    odd.chat_template = "You see red things. " + odd.chat_template.replace(
        "ASSISTANT: {% for c in m['content'] %}{{ c['text'] }}",
        f"ASSISTANT: {{% for c in m['content'] %}}{{{{ {said} }}}}",
    )
    with pytest.raises(ShardError, match="row-1: the chat template changes the answer 'red'"):
        Collator(odd)([row(1, inputs="Which colour?", outputs="red")])


@pytest.mark.parametrize(
    ("name", "decoded"), [("instructblip", (94, 56)), ("llava", (512, 307)), ("qwen2_5_vl", (512, 307))]
)
def test_pictures_are_decoded_at_twice_the_size_that_the_processor_makes_of_them(name, decoded):
    """28 x 28 for the first; the size of the others goes by the picture's shape."""
    data = photograph()
    collator = Collator(processor(name), 4096)
    assert collator.prepare(row(1, images=[data])).images[0].size == decoded
    assert Collator(processor(name), 4096, 100).prepare(row(1, images=[data])).images[0].size == (100, 60)
    seen, whole = (
        processor(name).image_processor(image)["pixel_values"][0]
        for image in (collator.prepare(row(1, images=[data])).images[0], Image.open(io.BytesIO(data)))
    )
    deviation = processor(name).image_processor.image_std[0]
    assert abs(torch.as_tensor(seen) - torch.as_tensor(whole)).mean() * deviation * 255 < 2


def photograph():
    """A photograph (it comes with matplotlib), cut to 512 x 307, as JPEG."""
    cbook, buffer = pytest.importorskip("matplotlib.cbook", reason="it has a photograph"), io.BytesIO()
    Image.open(cbook.get_sample_data("grace_hopper.jpg")).crop((0, 0, 512, 307)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def test_a_broken_image_names_the_row():
    with pytest.raises(ImageError, match="row-x: expected an image"):
        Collator(processor("llava")).prepare(row(1, id="row-x", images=[b"<html>"]))


def test_a_processor_without_chat_template_is_refused():
    _, plain = small("llava")
    plain.chat_template = None
    with pytest.raises(M3ITError, match="LlavaProcessor has no chat template"):
        Collator(plain)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "idefics3"])
def test_every_answer_of_a_conversation_is_learned(name):
    turns = [("user", "What is shown?"), ("assistant", "a circle"), ("user", "a picture?"), ("assistant", "blue")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    messages[0]["content"].insert(0, {"type": "image"})
    collator = Collator(processor(name), 4096)
    batch = collator([row(1, meta={"messages": messages})])
    end = ENDS.get(name, "<|im_end|>")
    first = "a circle" if name == "llava" else f"a circle{end}"  # Vicuna's template ends the last answer only
    assert learned(collator, batch, 0).replace(" ", "") == f"{first}blue{end}".replace(" ", "")


@pytest.mark.parametrize("outputs", ["", " ", "é😀中文", "a red circle\n", "What is shown?", "ASSISTANT: yes"])
@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl", "idefics3", "instructblip"])
def test_odd_outputs_are_learned_as_they_are(name, outputs):
    collator = Collator(processor(name), 4096)
    batch = collator([row(1, outputs=outputs)])
    text = learned(collator, batch, 0).replace("\n", "")  # a template may keep it or not
    assert text.strip() == outputs.strip() + ENDS.get(name, "<|im_end|>")


def test_the_qformer_reads_the_question_of_each_image_and_never_the_answer():
    collator = Collator(processor("instructblip"), 4096)
    batch = collator([row(2), row(0), row(1, inputs="a picture?", outputs="SECRET")])
    reader = processor("instructblip").qformer_tokenizer
    asked = [reader.decode(ids, skip_special_tokens=True) for ids in batch["qformer_input_ids"]]
    assert asked == ["Look at the picture.\nWhat is shown?"] * 2 + ["Look at the picture.\na picture?"]
    assert len(batch["pixel_values"]) == 3


def test_row_ids_are_given_where_asked_for():
    assert Collator(processor("llava"), keep_ids=True)([row(1), row(2)])["row_ids"] == ["row-1", "row-2"]
    assert "row_ids" not in Collator(processor("llava"))([row(1)])


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for message in messages %}", "Unexpected end"),
        ("{{ messages[0].content + 1 }}", "concatenate"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ nothing.of.it }}", "undefined"),
    ],
)
def test_a_chat_template_that_fails_is_a_sentence_that_names_the_row(template, words):
    _, processor = small("llava")
    processor.chat_template = template
    with pytest.raises(ShardError, match=f"row-1: the chat template of LlavaProcessor fails .*{words}") as raised:
        Collator(processor)([row(1)])
    assert raised.value.reason == "chat template fails"
