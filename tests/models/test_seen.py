"""m3it/models/seen.py: what a model gets to see, read back from the tensors of real processors."""

import numpy as np
import pytest
from conftest import picture

pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import NAMES, row, small

from m3it.models.collator import Collator
from m3it.models.seen import pictures_of, prompt_of
from m3it.rows.images import encode

HALVES = np.zeros((56, 84, 3), "uint8")
HALVES[:, :42] = (200, 30, 60)
HALVES[:, 42:] = (10, 120, 250)


@pytest.mark.parametrize("name", NAMES)
def test_pictures_have_their_colours_and_their_places_again(name):
    _, processor = small(name)
    batch = Collator(processor).prompts([Collator(processor).prepare(row(images=[encode(HALVES, "PNG")]))])
    seen = pictures_of(batch, processor.image_processor)
    assert seen
    whole = seen[-1]  # of tiles, the whole picture comes last
    assert whole.dtype == np.uint8
    left, right = whole[:, : whole.shape[1] // 3], whole[:, -whole.shape[1] // 3 :]
    assert np.abs(left.reshape(-1, 3).mean(0) - (200, 30, 60)).max() < 8
    assert np.abs(right.reshape(-1, 3).mean(0) - (10, 120, 250)).max() < 8


@pytest.mark.parametrize("name", ["qwen2_5_vl", "llava"])
def test_the_prompt_is_what_the_template_made_with_many_places_counted(name):
    _, processor = small(name)
    collator = Collator(processor)
    batch = collator.prompts(
        [collator.prepare(row(images=[encode(HALVES, "PNG")], inputs="What is it?")), collator.prepare(row(0))]
    )
    told = prompt_of({key: batch[key][:1] for key in ("input_ids", "attention_mask")}, processor.tokenizer)
    place = {"qwen2_5_vl": "<|image_pad|>", "llava": "<image>"}[name]
    assert "Look at the picture.\nWhat is it?" in told and f"{place} × " in told
    assert told.count(place) == 1 and told.rstrip().endswith("assistant" if name == "qwen2_5_vl" else "ASSISTANT:")


def test_a_row_without_pictures_shows_none():
    _, processor = small("llava")
    collator = Collator(processor)
    assert pictures_of(collator.prompts([collator.prepare(row(0))]), processor.image_processor) == []


def test_small_pictures_are_shown_as_they_were_enlarged():
    _, processor = small("llava")
    collator = Collator(processor)
    (seen,) = pictures_of(collator.prompts([collator.prepare(row(images=[picture(1)]))]), processor.image_processor)
    assert seen.shape == (28, 28, 3)
    assert tuple(seen[14, 14]) == pytest.approx((37, 91, 128), abs=1)
