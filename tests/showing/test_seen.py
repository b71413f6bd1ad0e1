"""m3it/showing/seen.py: the page of what a model sees."""

import re

import pytest
from conftest import make_row

pytest.importorskip("transformers", reason="PyTorch and transformers are an extra")


@pytest.fixture(scope="module")
def processor(tmp_path_factory):
    """The folder of a model's processor, without weights: they are not needed."""
    from small_models import small

    folder = tmp_path_factory.mktemp("model")
    small("llava")[1].save_pretrained(folder)
    return folder


def page_of(processor, folder, rows, **options) -> str:
    from m3it.showing.seen import write_page

    write_page(str(processor), "viquae", rows, folder / "page.html", **options)
    return (folder / "page.html").read_text("utf-8")


def test_the_page_shows_prompt_answer_and_pictures(processor, tmp_path):
    page = page_of(processor, tmp_path, [make_row(0), make_row(1, num_images=2), make_row(2, num_images=0)])
    tokens = [re.sub(r"<[^>]*>", "", part) for part in re.findall(r'<p class="tokens".*?</p>', page, re.S)]
    assert "USER: " in tokens[0] and "What is 0?" in tokens[0] and "answer 0" in tokens[0]
    assert [part.count("&lt;image&gt;") for part in tokens] == [1, 2, 0]
    assert page.count("<img ") == 3
    learned = "".join(re.findall(r'class="learned"[^>]*>([^<]*)<', page))
    assert "answer 0" in learned and "What is" not in learned
    assert "100 % of its place in the batch" in page


def test_a_text_that_is_cut_stands_there_crossed_out(processor, tmp_path):
    page = page_of(processor, tmp_path, [make_row(0, inputs="a long question " * 9)], max_length=40)
    assert re.search(r'class="lost" title="cut">[^<]*question', page)


def test_packed_rows_stand_in_sequences_with_their_masks(processor, tmp_path):
    rows = [make_row(i, inputs="What? " * i) for i in range(4)]
    page = page_of(processor, tmp_path, rows, pack=True)
    assert page.index("<h2>Sequence 1 of ") < page.index("<h2>row-0</h2>") < page.index("<h2>row-3</h2>")
    assert page.count('class="mask"') == page.count(" of its place in the batch") == page.count("<h2>Sequence ") < 4


def test_rows_that_share_a_picture_stand_in_one_sequence(processor, tmp_path):
    rows = [{**make_row(i), "image_base64_str": make_row(0)["image_base64_str"]} for i in range(3)]
    page = page_of(processor, tmp_path, rows, share_pictures=True)
    assert page.count("<h2>Sequence ") == page.count('class="mask"') == 1
    sequence = re.sub(r"<[^>]*>", "", page[page.index("<h2>Sequence ") : page.index("<h2>row-0</h2>")])
    assert sequence.count("&lt;image&gt;") == 1 and all(f"answer {i}" in sequence for i in range(3))


def test_what_rows_say_is_text(processor, tmp_path):
    page = page_of(processor, tmp_path, [make_row(0, inputs="<script>alert(1)</script>")])
    assert "<script" not in page and "default-src 'none'" in page
