"""m3it/models/seen.py: what people are shown is what the model gets, of every class that is trained."""

import numpy as np
import pytest
from conftest import picture
from PIL import Image

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import NAMES, VICUNA, row, small, tokenizer_with

from m3it.models.collator import Collator
from m3it.models.seen import LEARNED, PICTURE, pictures_of, prompt_of
from m3it.rows.images import encode, pixels

RED, BLUE = (200, 30, 60), (10, 120, 250)


def halves(height: int, width: int) -> bytes:
    """A picture that is red on the left and blue on the right."""
    colours = np.empty((height, width, 3), "uint8")
    colours[:, : width // 2], colours[:, width // 2 :] = RED, BLUE
    return encode(colours, "PNG")


def mean(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(-1, 3).mean(0)


# ---- tokens


@pytest.mark.parametrize("name", NAMES)
def test_pieces_are_the_tokens_of_the_batch(name):
    collator = Collator(small(name)[1])
    rows = [row(n) for n in (0, 1, 2)]
    batch, found = collator(rows), collator.explain(rows)
    assert [seen.num_tokens for seen in found] == batch["attention_mask"].sum(1).tolist()
    assert [seen.num_learned for seen in found] == (batch["labels"] != -100).sum(1).tolist()
    assert {seen.batch_length for seen in found} == {batch["input_ids"].shape[1]}
    for seen in found:
        assert sum(piece.num_tokens for piece in seen.pieces) == seen.num_tokens
        learned = "".join(piece.text for piece in seen.pieces if piece.kind == LEARNED)
        assert learned.strip().startswith("a red circle") and "shown" not in learned
        assert any(piece.kind == PICTURE for piece in seen.pieces) == bool(seen.pictures)


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava"])
def test_the_prompt_is_what_the_template_made_with_the_places_of_pictures_counted(name):
    _, processor = small(name)
    collator = Collator(processor)
    told = prompt_of(collator, collator.prompts([collator.prepare(row(1, inputs="What is it? !!!!!!!!"))]))
    place = {"qwen2_5_vl": "<|image_pad|>", "llava": "<image>"}[name]
    assert "Look at the picture.\nWhat is it? !!!!!!!!" in told and f"{place} × " in told
    assert told.count(place) == 1 and told.rstrip().endswith("assistant" if name == "qwen2_5_vl" else "ASSISTANT:")


def test_a_text_that_is_cut_says_what_it_lost():
    collator = Collator(small("llava")[1], max_length=40)
    long = "one two three four five six seven eight nine ten " * 3
    (seen,) = collator.explain([row(1, inputs=long)])
    assert seen.num_tokens <= 40 and len(seen.cut) == 1
    assert long.strip().endswith(seen.cut[0].strip()) and seen.cut[0]
    assert collator.explain([row(1)])[0].cut == []


def test_letters_of_several_tokens_are_whole():
    (seen,) = Collator(small("llava")[1]).explain([row(0, inputs="巴黎 🏛 مرحبا", outputs="東京")])
    text = "".join(piece.text for piece in seen.pieces)
    assert "巴黎 🏛 مرحبا" in text and "東京" in text and "\ufffd" not in text
    assert any(piece.num_tokens > 1 for piece in seen.pieces)


@pytest.mark.parametrize("shares", [False, True])
def test_a_packed_sequence_has_the_tokens_and_the_mask_of_the_batch(shares):
    collator = Collator(small("qwen2_5_vl")[1], 120, pack=True, share_pictures=shares)
    rows = [row(1, id=str(i), inputs="What is shown? " * i) for i in range(4)]
    batch, found = collator(rows), collator.explain(rows)
    count, length = batch["input_ids"].shape
    assert len(found) == count < 4 and found[0].id == f"Sequence 1 of {count}"
    assert sum(seen.num_learned for seen in found) == (batch["labels"] != -100).sum()
    alone = sum(seen.num_tokens for seen in collator.padded().explain(rows))
    held = sum(seen.num_tokens for seen in found)
    assert held < alone if shares else held == alone
    for i, seen in enumerate(found):
        drawn, mask = np.asarray(seen.mask), (batch["attention_mask"][i, 0] == 0).numpy()
        size, learned = seen.num_tokens, (batch["labels"][i] != -100).numpy()
        assert drawn.shape == (length, length) and seen.batch_length == length and size <= length
        assert ((drawn[:size, :size] > 0) == mask[:size, :size]).all()
        assert (drawn[:size, :size].max(1) == np.where(learned[:size], 2, 1)).all()
        assert (drawn[size:] == 3).all() and (drawn[:, size:] == 3).all()


# ---- pictures


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_their_colours_and_their_places_again(name):
    (seen,) = Collator(small(name)[1]).explain([row(1, images=[halves(56, 84)])])
    whole = np.asarray(seen.pictures[-1])  # of tiles, the whole picture comes last
    third = whole.shape[1] // 3
    assert np.abs(mean(whole[:, :third]) - RED).max() < 8 and np.abs(mean(whole[:, -third:]) - BLUE).max() < 8


def quarters(height: int, width: int) -> bytes:
    """A picture of red, blue, and below these green and white."""
    colours = np.full((height, width, 3), 255, "uint8")
    for place, colour in zip(QUARTERS, (RED, BLUE, (20, 180, 40)), strict=False):
        colours[place(height, width)] = colour
    return encode(colours, "PNG")


QUARTERS = [
    lambda height, width, row=row, column=column: (
        slice(row * height // 2, (row + 1) * height // 2),
        slice(column * width // 2, (column + 1) * width // 2),
    )
    for row in (0, 1)
    for column in (0, 1)
]


@pytest.mark.parametrize("name", ["idefics3", "smolvlm", "llava_next"])
def test_tiles_lie_as_in_the_picture_and_the_whole_comes_last(name):
    """A picture in four tiles, one in two, and one that is not cut by Idefics3's."""
    images = [quarters(56, 56), halves(28, 56), picture(1)]
    (seen,) = Collator(small_next() if name == "llava_next" else small(name)[1]).explain([row(3, images=images)])
    square, whole, wide, half, *others = map(np.asarray, seen.pictures)
    assert square.shape == (58, 58, 3) and wide.shape == (28, 58, 3) and others[-1].shape == (28, 28, 3)
    for place in QUARTERS:  # of the tiles as of the whole
        colours = np.abs(mean(square[place(58, 58)]) - mean(whole[place(28, 28)]))
        assert colours.max() < 20
    assert np.abs(mean(wide[:, :28]) - RED).max() < 8 and np.abs(mean(wide[:, 30:]) - BLUE).max() < 8
    assert half.shape == (28, 28, 3) and (square[28:30] == 255).all()


def small_next():
    """A processor of LLaVA-NeXT, of up to four tiles."""
    import transformers as t

    tokenizer, numbers = tokenizer_with("<image>"), [[28, 56], [56, 28], [56, 56]]
    side = {"height": 28, "width": 28}
    images = t.LlavaNextImageProcessorPil(size={"shortest_edge": 28}, crop_size=side, image_grid_pinpoints=numbers)
    return t.LlavaNextProcessor(images, tokenizer, patch_size=14, num_additional_image_tokens=1, chat_template=VICUNA)


def test_a_row_without_pictures_shows_none():
    _, processor = small("llava")
    collator = Collator(processor)
    assert pictures_of(collator.prompts([collator.prepare(row(0))]), processor) == []


def test_pixels_are_close_to_those_of_the_file():
    """LLaVA's processor scales the shorter side and cuts the middle out: of a square picture of that size nothing."""
    given = np.asarray(Image.fromarray(pixels(picture(3))).resize((28, 28)))
    (seen,) = Collator(small("llava")[1]).explain([row(1, images=[encode(given, "PNG")])])
    assert np.abs(np.asarray(seen.pictures[0]).astype(int) - given).max() <= 1
