"""m3it/models/explain.py: what people are shown is what the model gets, of every class that is trained."""

import numpy as np
import pytest
from conftest import picture
from small_models import NAMES, row, small

from m3it.models.collator import Collator
from m3it.models.explain import LEARNED, PICTURE
from m3it.rows.images import pixels


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


@pytest.mark.parametrize("name", NAMES)
def test_pictures_are_those_of_the_row_as_the_processor_leaves_them(name):
    """A picture half black, half white comes back so, wherever the class keeps its pixels."""
    from io import BytesIO

    from PIL import Image

    half = Image.new("RGB", (112, 112), "black")
    half.paste("white", (0, 56, 112, 112))
    file = BytesIO()
    half.save(file, "PNG")
    (seen,) = Collator(small(name)[1]).explain([row(1, images=[file.getvalue()])])
    assert seen.pictures
    whole = np.asarray(seen.pictures[-1]).astype(int)
    middle = whole.shape[0] // 2
    assert whole[: middle - 3].max() < 40 and whole[middle + 3 :].min() > 215


def test_tiles_stand_in_reading_order_and_the_whole_picture_last():
    from io import BytesIO

    from PIL import Image

    tiles = Image.new("RGB", (56, 28), "red")
    tiles.paste("blue", (28, 0, 56, 28))
    file = BytesIO()
    tiles.save(file, "PNG")
    (seen,) = Collator(small("idefics3")[1]).explain([row(1, images=[file.getvalue()])])
    colours = [tuple(int(v) for v in np.asarray(picture).reshape(-1, 3).mean(0).round(-1)) for picture in seen.pictures]
    assert colours[:2] == [(250, 0, 0), (0, 0, 250)] or colours[:2] == [(260, 0, 0), (0, 0, 260)]
    assert colours[-1][0] > 100 and colours[-1][2] > 100


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


def test_pixels_are_close_to_those_of_the_file():
    """LLaVA's processor scales the shorter side and cuts the middle out: of a square picture of that size nothing."""
    from io import BytesIO

    from PIL import Image

    given = Image.fromarray(pixels(picture(3))).resize((28, 28))
    file = BytesIO()
    given.save(file, "PNG")
    (seen,) = Collator(small("llava")[1]).explain([row(1, images=[file.getvalue()])])
    assert np.abs(np.asarray(seen.pictures[0]).astype(int) - np.asarray(given).astype(int)).max() <= 1
