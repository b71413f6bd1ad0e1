"""m3it/models/packing.py: each row has the loss and the gradients, packed and shared, that it has alone."""

import copy
import tempfile
from functools import cache
from pathlib import Path

import pytest
from conftest import picture

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import TEXTS, row, small, ying_parts  # noqa: E402

from m3it.models import loading  # noqa: E402, F401  makes tiny's classes known
from m3it.models.collator import Collator  # noqa: E402
from m3it.models.packing import branches, bundles_of, check_packs, fill, lay_out, mask_of  # noqa: E402
from m3it.models.tiny import make_tiny  # noqa: E402
from m3it.models.ying import make_ying  # noqa: E402
from m3it.rows.instance import M3ITError  # noqa: E402

SHARE = ("tiny", "llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm")
WAYS = [(name, False) for name in (*SHARE, "instructblip", "ying")] + [(name, True) for name in SHARE]


@cache
def loaded(name):
    if name == "ying":
        with tempfile.TemporaryDirectory() as folder:
            model, processor = make_ying(**ying_parts(Path(folder)))
    else:
        model, processor = make_tiny(TEXTS) if name == "tiny" else small(name)
    return model.eval(), processor


def rows():
    """Rows of 0, 1, 2, 5 and 8 pictures, mixed, of several lengths; two of 1 and two of 2 have the same pictures."""
    asked = ["What is shown?", "What is shown in the picture, and is it red?", "Is it a square?"]
    told = ["a red circle", "a blue square and a red circle", "no", "the picture shows a blue square"]
    return [
        row(n, id=f"row-{i}", inputs=asked[i % 3], outputs=told[i % 4], images=[picture(n + k) for k in range(n)])
        for i, n in enumerate((0, 1, 2, 5, 8, 2, 1))
    ]


def learn(model, batches):
    """(loss of each learned token, sorted, gradients by parameter) of batches together."""
    model.zero_grad()
    each = torch.cat([losses(model, batch) for batch in batches])
    each.mean().backward()
    return each.detach().sort().values, {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}


def losses(model, batch):
    """The loss of each learned token of a batch."""
    logits, labels = model(**batch).logits[:, :-1].float(), batch["labels"][:, 1:]
    return torch.nn.functional.cross_entropy(logits[labels != -100], labels[labels != -100], reduction="none")


@cache
def one_by_one(name):
    """What `learn` gives for the rows, each by itself."""
    model, processor = loaded(name)
    collator = Collator(processor, 2048)
    return learn(model, [collator([row]) for row in rows()])


@pytest.mark.parametrize(("name", "shares"), WAYS)
def test_rows_have_the_loss_and_the_gradients_that_they_have_one_by_one(name, shares):
    model, processor = loaded(name)
    batch = Collator(processor, 2048, pack=True, share_pictures=shares)(rows())
    padded = Collator(processor, 2048)(rows())
    assert batch["input_ids"].shape[0] < len(rows()) and batch["attention_mask"].ndim == 4
    sizes = [one["pixel_values"].shape[0] for one in (batch, padded)]
    assert sizes[0] < sizes[1] if shares else sizes[0] == sizes[1]
    (expected, gradients), (found, packed) = one_by_one(name), learn(model, [batch])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(packed[key], gradient, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize(("name", "shares"), WAYS)
def test_in_bfloat16_losses_and_gradients_are_those_of_single_rows_within_its_precision(name, shares):
    """Gradients by the norm of all together: one that is zero but for rounding, of a key's bias, may be anything."""
    model, processor = loaded(name)
    model = copy.deepcopy(model).bfloat16()
    collator = Collator(processor, 2048)
    packed = Collator(processor, 2048, pack=True, share_pictures=shares)
    expected, gradients = learn(model, [collator([row]) for row in rows()])
    found, others = learn(model, [packed(rows())])
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0)
    one, two = (torch.cat([each[key].float().flatten() for key in gradients]) for each in (gradients, others))
    assert (two - one).norm() < 2e-2 * one.norm()


def test_a_row_has_the_same_loss_whatever_it_is_packed_with():
    """The others change, the row does not: nothing of them reaches it."""
    model, processor = loaded("tiny")
    collator = Collator(processor, 2048, share_pictures=True)
    one, others = row(1, outputs="a red circle"), [row(1, id="b", outputs="zz"), row(2, inputs="x" * 90)]
    marked = {loss.item() for loss in losses(model, collator([one]))}
    for batch in ([one, *others], [*others, one], [others[0], one]):
        found = losses(model, collator(batch))
        assert all((found - loss).abs().min() < 1e-5 for loss in marked)


def test_captions_of_one_picture_share_their_whole_prompt():
    _, processor = loaded("tiny")
    captions = [row(1, id=str(i), outputs=text) for i, text in enumerate(("a red circle", "a square", "it is blue"))]
    batch = Collator(processor, 2048, share_pictures=True)(captions)
    learned = batch["labels"] != -100
    assert len(batch["pixel_values"]) == 1 and batch["input_ids"].shape[0] == 1
    # Each branch has the last token of the prompt for itself: of it, the first of its answer is learned.
    prompt = Collator(processor).prompts(captions[:1])["input_ids"].shape[1]
    assert batch["input_ids"].shape[1] == prompt - 1 + 3 + learned.sum()


def test_rows_with_an_answer_before_their_picture_share_none():
    model, processor = loaded("tiny")

    def said(role, *content):
        return {
            "role": role,
            "content": [{"type": "text", "text": part} if part else {"type": "image"} for part in content],
        }

    asked = [
        [
            said("user", "What is red?"),
            said("assistant", "a circle"),
            said("user", "", "And here?"),
            said("assistant", told),
        ]
        for told in ("a square", "no")
    ]
    asked = [row(1, id=str(i), meta={"messages": messages}) for i, messages in enumerate(asked)]
    batch = Collator(processor, share_pictures=True)(asked)
    assert len(batch["pixel_values"]) == 2
    assert model(**batch).loss.item() == pytest.approx(model(**Collator(processor)(asked)).loss.item(), rel=1e-5)


def test_a_row_that_begins_with_an_answer_does_not_learn_its_first_token_of_the_row_before():
    model, processor = loaded("tiny")
    bare = copy.deepcopy(processor)
    bare.chat_template = (
        "{% for m in messages %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}"
    )
    said = [("assistant", "hello"), ("user", "what?"), ("assistant", "a red circle")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said]
    talks = [row(0, id=str(i), meta={"messages": messages[:1] + messages[1:] * (i + 1)}) for i in range(3)]
    padded, packed = Collator(bare)(talks), Collator(bare, pack=True)(talks)
    assert packed["input_ids"].shape[0] < 3 and (padded["labels"] != -100).sum() == (packed["labels"] != -100).sum()
    assert model(**packed).loss.item() == pytest.approx(model(**padded).loss.item(), rel=1e-5)


def test_more_branches_than_a_sequence_holds_have_their_picture_again():
    model, processor = loaded("tiny")
    asked = [row(1, id=str(i), instruction=f"{i}. What is shown?" * (1 + i % 2)) for i in range(7)]
    length = 2 * Collator(processor)(asked[:2])["input_ids"].shape[1]
    batch = Collator(processor, length, share_pictures=True)(asked)
    assert batch["input_ids"].shape[1] <= length and 1 < len(batch["pixel_values"]) < 7
    assert model(**batch).loss.item() == pytest.approx(model(**Collator(processor)(asked)).loss.item(), rel=1e-5)


# ---- which rows stand where


def test_sequences_are_those_that_cost_least():
    """Padding costs, and so does the length of a sequence: attention goes by its square."""
    sizes = [30, 10, 20, 10, 50, 40, 20, 20]
    places = fill(sizes, 70)  # in three: 60, 70 and 70
    assert sorted(i for place in places for i in place) == list(range(8))
    assert [sum(sizes[i] for i in place) for place in places] == [50] * 4
    assert fill([20] * 4, 80) == [[0], [1], [2], [3]]  # no padding, and the shortest
    assert [len(place) for place in fill([100, 20, 20, 20, 20, 20], 200)] == [1, 5]
    assert fill([50, 30, 30], 50) == [[0], [1], [2]]  # in two, 60
    assert fill([5], 5) == [[0]]


def batch_of(*tokens, learned=0):
    """A batch of rows of token ids, the last `learned` of each learned."""
    width = max(map(len, tokens))
    ids, labels = torch.zeros(len(tokens), width, dtype=torch.int64), torch.full((len(tokens), width), -100)
    for i, one in enumerate(tokens):
        ids[i, : len(one)] = torch.tensor(one)
        labels[i, len(one) - learned : len(one)] = torch.tensor(one[len(one) - learned :])
    return {"input_ids": ids, "labels": labels}


def test_rows_share_what_they_have_in_common_and_do_not_learn():
    asked = batch_of([1, 2, 3, 4, 5], [1, 2, 3, 4, 6, 7], [1, 2, 9])
    assert branches(asked, [0, 1, 2], [5, 6, 3]) == [(0, 0), (1, 4), (2, 2)]
    # Captions: the same prompt, all of it but its last token, of which the answer's first is learned.
    assert branches(batch_of([1, 2, 3, 4], [1, 2, 3, 5], learned=1), [0, 1], [4, 4]) == [(0, 0), (1, 2)]
    assert branches(batch_of([1, 2, 3, 4], [1, 2, 3, 4], learned=1), [0, 1], [4, 4]) == [(0, 0), (1, 2)]
    assert branches(batch_of([4], [4], learned=1), [0, 1], [1, 1]) == [(0, 0), (1, 0)]


def test_turns_of_a_dialog_stand_on_those_before():
    """Each row has the turns before it in its question: they are there once, each answer on a twig of its own."""
    turns = [[1, 2, 3, 50, 9], [1, 2, 3, 4, 5, 50, 9], [1, 2, 3, 4, 5, 6, 7, 50, 9]]
    batch, lengths = batch_of(*turns, learned=1), [5, 7, 9]
    (bundle,) = bundles_of(batch, [0, 0, 0], lengths, 20)
    assert bundle == [(2, 0), (1, 5), (0, 3)]  # in the order of tokens: 6 before 50, 4 before 50
    index, until = lay_out([[bundle]], lengths, 9)
    flat = batch["input_ids"].flatten()
    assert flat[index[0]].tolist() == [1, 2, 3, 4, 5, 6, 7, 50, 9, 50, 9, 50, 9]
    seen = mask_of(until)[0, 0] == 0
    alone = {8: turns[2], 10: turns[1], 12: turns[0]}
    assert {i: flat[index[0]][seen[i]].tolist() for i in alone} == alone


def test_a_bundle_that_is_longer_than_a_sequence_is_divided():
    batch = batch_of([1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6])
    assert [*bundles_of(batch, [0, 0, 0], [4, 4, 4], 5)] == [[(0, 0), (1, 3)], [(2, 0)]]
    assert [*bundles_of(batch, [0, 1, 0], [4, 4, 4], 5)] == [[(0, 0), (2, 3)], [(1, 0)]]


def test_padding_sees_itself_alone():
    index, until = lay_out([[[(0, 0), (1, 1)], [(2, 0)]], [[(3, 0)]]], [2, 2, 1, 1], 2)
    assert index.tolist() == [[0, 1, 3, 4], [6, -1, -1, -1]]
    assert (mask_of(until)[:, 0] == 0).int().tolist() == [
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]],
        torch.eye(4).int().tolist(),
    ]


# ---- what is refused


def test_what_cannot_be_packed_is_refused_in_a_sentence():
    model, processor = loaded("llava")
    collator = Collator(processor, 2048, pack=True)
    check_packs(model, collator, [row(1), row(2)])

    class OtherProcessor:
        tokenizer, image_processor, chat_template = processor.tokenizer, processor.image_processor, "x"

    with pytest.raises(M3ITError, match="OtherProcessor: its rows cannot be packed, only those of LlavaProcessor, "):
        Collator(OtherProcessor(), pack=True)
    with pytest.raises(M3ITError, match="--share-pictures: its Q-Former reads each question with the picture"):
        Collator(loaded("instructblip")[1], share_pictures=True)
    with pytest.raises(M3ITError, match="1 images take .* tokens without any text, more than the 3 that the model"):
        Collator(processor, 3, pack=True)([row(1)])
    processor = copy.copy(processor)
    processor.tokenizer = copy.deepcopy(processor.tokenizer)
    processor.__class__ = type("LlavaProcessor", (type(processor),), {"__call__": left_padded})
    with pytest.raises(M3ITError, match="LlavaProcessor pads rows on the left by itself, where"):
        Collator(processor, pack=True)([row(0), row(0, inputs="What is shown in the picture?")])


def test_what_a_processor_pads_by_itself_is_left_out():
    """One that pads all rows to a length of its own, whatever it is asked."""
    model, processor = loaded("llava")

    class Padding(type(processor)):
        def __call__(self, padding=None, **options):
            return super().__call__(padding="max_length", max_length=99, **options)

    own = copy.copy(processor)
    own.__class__ = type("LlavaProcessor", (Padding,), {})
    asked = [row(1), row(2, inputs="What is shown in the picture?")]
    for options in ({"pack": True}, {"share_pictures": True}):
        found, expected = (Collator(one, **options)(asked) for one in (own, processor))
        assert all(torch.equal(found[key], expected[key]) for key in expected)


def left_padded(self, padding_side=None, **options):
    return super(type(self), self).__call__(padding_side="left", **options)


def test_a_model_that_sees_through_the_mask_is_refused():
    model, processor = loaded("llava")
    deaf = copy.deepcopy(model)
    forward = deaf.model.language_model.forward
    deaf.model.language_model.forward = lambda attention_mask=None, **options: forward(**options)
    with pytest.raises(M3ITError, match=r"LlavaForConditionalGeneration cannot learn packed rows: their loss is \d"):
        check_packs(deaf, Collator(processor, 2048, pack=True), [row(1), row(2), row(0)])
    text = deaf.config.text_config
    text.is_encoder_decoder = True
    with pytest.raises(M3ITError, match="its encoder reads whole sequences. Leave out --pack"):
        check_packs(deaf, Collator(processor, 2048, pack=True), [row(1)])
    text.is_encoder_decoder, text._attn_implementation = False, "flash_attention_2"
    with pytest.raises(M3ITError, match="by flash attention, which takes no mask: use sdpa"):
        check_packs(deaf, Collator(processor, 2048, pack=True), [row(1)])
