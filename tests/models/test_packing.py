"""m3it/models/packing.py: each row has the loss and the gradients, packed and shared, that it has alone."""

import copy
from functools import cache

import pytest
from conftest import picture

torch = pytest.importorskip("torch", reason="torch is an extra")
pytest.importorskip("transformers", reason="transformers is an extra")

from small_models import TEXTS, row, small  # noqa: E402

from m3it.models import loading  # noqa: E402, F401  makes tiny's classes known
from m3it.models.collator import Collator  # noqa: E402
from m3it.models.packing import Bundle, bundles_of, check_packs, common, fill, mask_of  # noqa: E402
from m3it.models.tiny import make_tiny  # noqa: E402
from m3it.rows.instance import M3ITError  # noqa: E402

NAMES = ("tiny", "llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "instructblip")
SHARE = tuple(name for name in NAMES if name != "instructblip")


@cache
def loaded(name):
    model, processor = make_tiny(TEXTS) if name == "tiny" else small(name)
    return model.eval(), processor


def rows(*, together=False):
    """Rows of 0, 1, 2, 5 and 8 pictures, of several lengths; those with as many pictures have the same ones."""
    asked = ["What is shown?", "What is shown in the picture, and is it red?", "Is it a square?", "What is shown?"]
    told = ["a red circle", "a blue square and a red circle", "no", "the picture shows a blue square"]
    numbers = (0, 1, 2, 5, 8, 1, 2, 1, 8, 1)
    made = [
        row(n, id=f"row-{i}", inputs=asked[i % 4], outputs=told[i * 7 % 4], images=[picture(n + k) for k in range(n)])
        for i, n in enumerate(numbers)
    ]
    return sorted(made, key=lambda row: len(row["images"])) if together else made


def learn(model, batches):
    """(loss per learned token summed over all rows, gradients by parameter) of some batches."""
    total, num_tokens = 0.0, sum(int((batch["labels"] != -100).sum()) for batch in batches)
    model.zero_grad()
    for batch in batches:
        loss = model(**batch).loss * int((batch["labels"] != -100).sum()) / num_tokens
        loss.backward()
        total += loss.item()
    return total, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def losses(model, batch):
    """The loss of each learned token of a batch, by the token, sorted."""
    with torch.no_grad():
        logits = model(**batch).logits[:, :-1].float()
    labels = batch["labels"][:, 1:]
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    return each[labels != -100].sort().values


@pytest.mark.parametrize(("name", "shared"), [(n, False) for n in NAMES] + [(n, True) for n in SHARE])
def test_rows_have_the_loss_and_the_gradients_that_they_have_one_by_one(name, shared):
    model, processor = loaded(name)
    alone, together = Collator(processor, 2048), Collator(processor, 2048, pack=True, share_pictures=shared)
    one_by_one, packed = [alone([row]) for row in rows()], together(rows())
    assert packed["input_ids"].shape[0] < len(rows())
    pictures = [len(batch["pixel_values"]) for batch in (alone(rows()), packed)]
    assert pictures[1] < pictures[0] if shared else pictures[1] == pictures[0]
    expected = torch.cat([losses(model, batch) for batch in one_by_one]).sort().values
    torch.testing.assert_close(losses(model, packed), expected, rtol=1e-5, atol=1e-5)
    (loss, gradients), (found, found_gradients) = learn(model, one_by_one), learn(model, [packed])
    assert found == pytest.approx(loss, rel=1e-5)
    for key, gradient in gradients.items():
        torch.testing.assert_close(found_gradients[key], gradient, rtol=1e-4, atol=1e-5, msg=key)
