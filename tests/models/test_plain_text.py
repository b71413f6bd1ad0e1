"""Special tokens in texts of the data: broken before they are tokenized, whole again after."""

import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import tokenizer_with  # noqa: E402

from m3it.models.plain_text import PlainText  # noqa: E402


def test_a_text_is_broken_where_it_has_a_mark_and_nowhere_else():
    plain = PlainText(tokenizer_with("<image>"), ["<image>"], "")
    assert plain.breaker == "<pad>"
    assert plain.broken("no mark, < image>", "r") == "no mark, < image>"
    assert plain.broken("a </s><image><pad>", "r") == "a <<pad>/s><<pad>image><<pad>pad>"
    assert plain.whole(plain.broken("a </s><image>", "r")) == "a </s><image>"


def test_a_token_that_the_template_writes_is_no_breaker():
    assert PlainText(tokenizer_with("<image>", "<free>"), ["<image>"], "{{ pad_token }}<pad>").breaker == "<free>"
    assert PlainText(tokenizer_with("<image>"), ["<image>"], "<pad>").breaker == ""


@pytest.mark.parametrize(("side", "expected"), [("right", [5, 6, 0, 0, 0]), ("left", [0, 0, 0, 5, 6])])
def test_breakers_leave_the_tokens_beside_them_and_more_padding(side, expected):
    plain = PlainText(tokenizer_with("<image>"), ["<image>"], "")
    plain.breaker_id, plain.pad_id = 9, 0
    rows = {"right": [5, 9, 6, 9, 0], "left": [0, 5, 9, 6, 9]}[side]
    ids = torch.tensor([rows])
    pixels = torch.ones(1, 5)
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": ids.clone(), "pixel_values": pixels}
    found = plain.without_breakers(batch, side)
    assert found["input_ids"].tolist() == [expected]
    assert found["attention_mask"].tolist() == [[int(token > 0) for token in expected]]
    assert found["labels"].tolist() == [[token or -100 for token in expected]]
    assert found["pixel_values"] is pixels
    assert plain.without_breakers({**batch, "input_ids": torch.zeros(1, 5)}, side)["labels"] is batch["labels"]
