"""What a part is called where nobody says it."""

import pytest

from m3it.mixing.part import Part


@pytest.mark.parametrize(
    ("part", "label"),
    [
        (Part("HuggingFaceM4/FineVision", "ai2d_merged"), "ai2d_merged"),
        (Part("HuggingFaceM4/FineVision"), "FineVision"),
        (Part("~/my/pairs.jsonl.gz"), "pairs"),
        (Part("/data/charts/"), "charts"),
        (Part("/data/charts", "bars", label="mine"), "mine"),
    ],
)
def test_a_part_is_called_by_its_label_its_name_or_its_path(part, label):
    assert part.label == label
