"""m3it/showing/browse: which rows a view asks for, what is shown of them, and the page at its address."""

import base64
import json
import math
import socket
import sys
import urllib.error
import urllib.parse
import urllib.request
from itertools import islice

import fsspec
import legacy_maker
import pytest
from conftest import make_row, picture, write_rows

from M3IT import M3ITError, id_of
from m3it.publishing.release import release
from m3it.reading.load import load_builder
from m3it.showing import door
from m3it.showing.browse import numbered, pages
from m3it.showing.browse.app import Controls, build, of_address, to_address
from m3it.showing.browse.cards import cards_html, note_html
from m3it.showing.browse.numbered import NumberedRows
from m3it.showing.browse.pages import Entry, Pages, View


@pytest.fixture
def source(tmp_path):
    """okvqa (40 rows, of which each fifth is missing in Arabic), nlvr (two pictures a row, none in the last)."""
    rows = [make_row(i, inputs=f"What is {i}? {'Cat' if i % 10 == 3 else 'dog'}") for i in range(40)]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", rows)
    there = [make_row(i, inputs=f"ما هو {i}؟") for i in range(40) if i % 5]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/ar/train.jsonl", there)
    pairs = [*(make_row(i, 2) for i in range(4)), make_row(4, 0)]
    write_rows(tmp_path / "repo/data/reasoning/nlvr/validation.jsonl", pairs)
    return tmp_path / "repo"


def numbers(page):
    return [card.number for card in page.cards]


def write_predictions(folder, rows, config="viquae", split="test", model="tiny"):
    """The predictions of (row, prediction or None for a failed one)."""
    lines = []
    for row, prediction in rows:
        line = {"id": id_of(row), "config": config, "split": split, "references": [row["outputs"]]}
        lines.append({**line, **({"error": "it was too long"} if prediction is None else {"prediction": prediction})})
    write_rows(folder / "predictions.jsonl", lines)
    (folder / "run.json").write_text(json.dumps({"model": model}), "utf-8")
    return folder


# ---- rows by their numbers


def jsonl(tmp_path, rows):
    write_rows(tmp_path / "repo/data/vqa/gqa/train.jsonl", rows)
    return tmp_path / "repo"


def several_files(tmp_path, rows):
    for k in range(3):
        part = rows[k * 10 : k * 10 + 10] if k < 2 else rows[20:]
        write_rows(tmp_path / f"repo/data/vqa/gqa/train-0000{k}-of-00003.jsonl", part, end="\n\n")
    return tmp_path / "repo"


def compressed(tmp_path, rows):
    import gzip

    path = write_rows(tmp_path / "train.jsonl", rows)
    (tmp_path / "repo/data/vqa/gqa").mkdir(parents=True)
    (tmp_path / "repo/data/vqa/gqa/train.jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    return tmp_path / "repo"


def parquet(tmp_path, rows):
    release(str(jsonl(tmp_path, rows)), tmp_path / "release")
    return tmp_path / "release"


def far(tmp_path, rows):
    place = f"memory://{tmp_path.name}"
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    fsspec.filesystem("memory").pipe(f"{place}/data/vqa/gqa/train.jsonl", text)
    return place


@pytest.mark.parametrize("make", [jsonl, several_files, compressed, parquet, far])
@pytest.mark.parametrize("piece_bytes", [900, 1 << 20])
@pytest.mark.parametrize("small", [0, 1 << 30])
def test_rows_have_the_numbers_that_datasets_gives_them_from_any_on(tmp_path, monkeypatch, make, piece_bytes, small):
    monkeypatch.setattr(numbered, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(numbered, "SMALL_BYTES", small)
    place = make(tmp_path, [make_row(i, inputs="x" * (i % 7 * 90) + "?") for i in range(31)])
    for start in (0, 7, 19, 30, 31, 99):
        rows = NumberedRows(load_builder(str(place), "gqa", meta=True), "train")
        for _ in range(2):  # what the first reading has learned changes nothing
            found = [(each.number, id_of(each.row)) for each in rows.from_number(start)]
            assert found == [(i, f"row-{i}") for i in range(start, 31)]
    assert rows.num_rows == 31  # all were read


def test_the_number_of_rows_is_known_at_once_where_footers_or_an_index_tell_it(tmp_path, monkeypatch):
    rows = [make_row(i) for i in range(31)]
    for make, known in ((jsonl, 31), (parquet, 31), (far, None)):
        place = make(tmp_path / make.__name__, rows)
        assert NumberedRows(load_builder(str(place), "gqa", meta=True), "train").num_rows == known
    monkeypatch.setattr(numbered, "SMALL_BYTES", 0)
    large = NumberedRows(load_builder(str(tmp_path / "jsonl/repo"), "gqa", meta=True), "train")
    assert (large.num_rows, large.count(), large.num_rows) == (None, 31, 31)


def test_of_a_large_file_the_first_page_reads_the_first_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(numbered, "SMALL_BYTES", 0)
    monkeypatch.setattr(numbered, "PIECE_BYTES", 2000)
    builder = load_builder(str(jsonl(tmp_path, [make_row(i) for i in range(500)])), "gqa", meta=True)
    rows, read = NumberedRows(builder, "train"), []
    lines = builder.lines
    monkeypatch.setattr(builder, "lines", lambda piece: read.append(piece) or lines(piece))
    assert [each.number for each in islice(rows.from_number(), 3)] == [0, 1, 2]
    assert [start for _, start, _ in read] == [0]
    monkeypatch.setattr(numbered, "REACH_ROWS", 100)
    read.clear()
    assert next(rows.from_number(400)).row["inputs"] == "What is 400?"  # by the index: nothing between is read
    assert len(read) == 1


def test_a_row_far_away_over_a_network_is_refused_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(numbered, "REACH_ROWS", 10)
    rows = NumberedRows(load_builder(far(tmp_path, [make_row(i) for i in range(40)]), "gqa", meta=True), "train")
    with pytest.raises(M3ITError, match=r"train.jsonl: expected a number below 10, found 30\. Its rows are counted as"):
        next(rows.from_number(30))
    assert next(rows.from_number(9)).number == 9


def test_published_rows_count_each_answer_of_a_line(tmp_path):
    folder = legacy_maker.m3it(tmp_path / "m3it", ("mmchat", "viquae"))
    for name in ("mmchat", "viquae"):
        builder = load_builder(str(folder), name, meta=True)
        split = next(iter(builder.shards(name)))
        expected = [(i, row["outputs"]) for i, row in enumerate(builder.rows(split))]
        rows = NumberedRows(builder, split)
        assert [(each.number, each.row["outputs"]) for each in rows.from_number()] == expected
        assert [(each.number, each.row["outputs"]) for each in rows.from_number(2)] == expected[2:]


def test_published_translations_are_shown(tmp_path):
    shown = Pages(str(legacy_maker.m3it_80(tmp_path / "m3it-80", ("okvqa",))))
    page = shown.read(View("okvqa-zh", "validation", 1))
    assert numbers(page)[0] == 1 and page.num_rows and shown.entries["okvqa-zh"].language == "zh"


# ---- pages


def test_a_view_of_nothing_is_the_first_page_of_the_first_config(source):
    page = Pages(str(source)).read(View())
    assert page.view == View("okvqa", "train") and numbers(page) == list(range(12))
    assert (page.num_rows, page.before, page.after, page.told) == (40, None, 12, "okvqa, train: rows 0 to 11 of 40")


def test_pages_follow_each_other(source):
    shown = Pages(str(source))
    view, seen = View("okvqa"), []
    while True:
        page = shown.read(view)
        seen += numbers(page)
        if page.after is None:
            break
        view = page.view._replace(row=page.after)
    assert seen == list(range(40)) and page.before == 24
    assert shown.before(page.view) == 24 and shown.before(View("okvqa", row=5)) == 0
    assert shown.read(View("okvqa", row=39)).told == "okvqa, train: row 39 of 40"


@pytest.mark.parametrize("view, sentence", [
    (View("okvqua"), r"repo has no config 'okvqua'\. Did you mean 'okvqa'\?"),
    (View("okvqa", "test"), r"okvqa has no split 'test'; it has train\."),
    (View("okvqa", row=40), r"okvqa/train: expected a row below 40, found 40\."),
    (View("okvqa", row=-1), r"row -1: expected 0 or more"),
    (View("okvqa", beside="nlvr"), r"nlvr is not okvqa in another language\. There are: okvqa-ar\."),
    (View("nlvr", beside="nlvr-zh"), r"There are: none\."),
    (View("okvqa", pictures="²"), r"pictures=²: expected how many, such as 2\."),
    (View("okvqa", answers="good"), r"answers=good: expected one of right, partly, wrong, failed\."),
    (View("okvqa", answers="right"), r"no predictions of okvqa/train\. Name their folder: --predictions DIR\."),
])  # fmt: skip
def test_a_view_that_is_wrong_is_an_error_in_a_sentence(source, view, sentence):
    with pytest.raises(M3ITError, match=sentence):
        Pages(str(source)).read(view)


def test_a_repository_without_rows_is_said(tmp_path):
    with pytest.raises(M3ITError, match="holds no rows: no shards were found below data/"):
        Pages(str(tmp_path))


def test_a_row_that_cannot_be_read_is_shown_with_its_reason(tmp_path):
    broken = make_row(1, image_base64_str=["no base64!"])
    rows = [json.dumps(make_row(0)), json.dumps(broken), "{", json.dumps(make_row(3))]
    path = tmp_path / "repo/data/vqa/gqa/train.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(rows) + "\n", "utf-8")
    page = Pages(str(tmp_path / "repo")).read(View())
    assert [(card.number, card.id, bool(card.error)) for card in page.cards] == [
        (0, "row-0", False), (1, "", True), (2, "", True), (3, "row-3", False)]  # fmt: skip
    assert "train.jsonl, byte " in page.cards[1].error and "base64" in page.cards[1].error
    assert note_html(page.cards[1].error, True) in cards_html(page.cards, Pages(str(tmp_path / "repo")).entries)


@pytest.mark.parametrize("released", [False, True])
def test_searching_finds_what_texts_say_in_any_case(source, tmp_path, released):
    if released:
        release(str(source), tmp_path / "release")
    shown, told = Pages(str(tmp_path / "release" if released else source)), []
    page = shown.read(View("okvqa", search=" cAT "), told.append)
    assert numbers(page) == [3, 13, 23, 33] and [card.id for card in page.cards] == [f"row-{i}" for i in numbers(page)]
    assert page.note == "4 found in rows 0 to 39."
    assert bool(told) != released  # a release finds them by its texts, without reading rows
    assert numbers(shown.read(View("okvqa", row=14, search="cat"))) == [23, 33]
    assert shown.read(View("okvqa", search="[.*")).told.startswith("okvqa, train: nothing found")
    assert numbers(shown.read(View("okvqa-ar", search="؟"))) == list(range(12))
    assert set(shown.entries) == {"okvqa", "okvqa-ar", "nlvr"}  # not the twins of a release, nor its texts


def test_in_a_release_texts_far_apart_are_found_at_once(source, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "SCAN_ROWS", 5)
    release(str(source), tmp_path / "release")
    page = Pages(str(tmp_path / "release")).read(View("okvqa", search="cat"))
    assert numbers(page) == [3, 13, 23, 33] and page.after is None


@pytest.mark.parametrize("name", ["mine", "okvqa-rephrased"])
def test_rows_of_ones_own_in_a_release_are_searched_by_reading_them(source, tmp_path, name):
    write_rows(source / f"data/kvqa/{name}/train.jsonl", [make_row(i, inputs=f"a cat {i}") for i in range(3)])
    release(str(source), tmp_path / "release")
    shown = Pages(str(tmp_path / "release"))
    assert numbers(shown.read(View(name, search="cat"))) == [0, 1, 2] and shown.find(View(name), "row-2") == 2
    assert numbers(shown.read(View("okvqa", search="cat"))) == [3, 13, 23, 33]


def test_a_search_says_how_far_it_came_and_goes_on_there(source, monkeypatch):
    monkeypatch.setattr(pages, "SCAN_ROWS", 10)
    monkeypatch.setattr(pages, "PAGE_ROWS", 1)
    shown = Pages(str(source))
    page = shown.read(View("okvqa", row=4, search="cat"))
    assert (numbers(page), page.after, page.note) == ([13], 14, "1 found in rows 4 to 13; Next looks on.")
    page = shown.read(page.view._replace(row=14, search="What is 39"))
    assert (numbers(page), page.after, page.note) == ([], 24, "nothing found in rows 14 to 23; Next looks on.")
    assert shown.before(View("okvqa", row=24, search="cat")) == 23  # the last hit before
    assert shown.before(View("okvqa", row=3, search="cat")) == 0


def test_rows_are_filtered_by_their_number_of_pictures(source):
    shown = Pages(str(source))
    assert numbers(shown.read(View("nlvr", pictures="2"))) == [0, 1, 2, 3]
    assert numbers(shown.read(View("nlvr", pictures="0"))) == [4]
    assert numbers(shown.read(View("okvqa", search="cat", pictures="2"))) == []


@pytest.mark.parametrize("released", [False, True])
def test_a_row_is_found_by_its_id(source, tmp_path, monkeypatch, released):
    if released:
        release(str(source), tmp_path / "release")
    shown = Pages(str(tmp_path / "release" if released else source))
    assert shown.find(View("okvqa"), "row-33") == 33
    assert shown.find(View("okvqa", row=35), "row-2") == 2  # it stands before
    with pytest.raises(M3ITError, match=r"okvqa/train: there is no row of the id 'row-99'\."):
        shown.find(View("okvqa", row=35), "row-99")
    monkeypatch.setattr(pages, "SCAN_ROWS", 5)
    if not released:
        with pytest.raises(M3ITError, match=r"'row-33' among 5 rows from 20 on; go on from a later row\."):
            shown.find(View("okvqa", row=20), "row-33")


def test_random_rows_are_of_all_rows(source):
    shown = Pages(str(source))
    drawn = {shown.random(View("okvqa"), seed) for seed in range(300)}
    assert drawn == set(range(40))


def test_of_rows_over_a_network_random_ones_are_of_those_read(tmp_path, monkeypatch):
    monkeypatch.setattr(numbered, "PIECE_BYTES", 2000)
    shown = Pages(far(tmp_path, [make_row(i) for i in range(40)]))
    assert shown.random(View(), 1) == 0
    shown.read(View(row=20))
    drawn = {shown.random(View(), seed) for seed in range(300)}
    assert 20 <= max(drawn) < 40 and min(drawn) == 0


# ---- languages


def test_rows_stand_beside_themselves_in_another_language(source):
    page = Pages(str(source)).read(View("okvqa", row=24, beside="okvqa-ar"))
    assert numbers(page) == list(range(24, 36))
    for card in page.cards:
        if card.number % 5:
            assert card.beside.row["inputs"] == f"ما هو {card.number}؟" and card.beside.id == card.id
        else:
            assert card.beside.error == "not found in okvqa-ar"
    back = Pages(str(source)).read(View("okvqa-ar", row=20, beside="okvqa"))
    assert [card.beside.id for card in back.cards] == [card.id for card in back.cards]


def test_rows_are_found_beside_although_many_before_them_were_dropped(tmp_path):
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", [make_row(i, 0) for i in range(2000)])
    there = [make_row(i, 0) for i in range(2000) if i % 3]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/ar/train.jsonl", there)
    page = Pages(str(tmp_path / "repo")).read(View("okvqa", row=1501, beside="okvqa-ar"))
    assert all(bool(card.beside.row) == bool(card.number % 3) for card in page.cards)


def test_a_set_of_ones_own_has_its_languages_too(tmp_path):
    for folder in ("mine", "mine/ar", "other"):
        write_rows(tmp_path / f"repo/data/vqa/{folder}/train.jsonl", [make_row(1)])
    shown = Pages(str(tmp_path / "repo"))
    assert shown.entries["mine-ar"] == Entry("mine-ar", "vqa", "mine", "ar")
    assert shown.languages("mine") == ["mine-ar"] and shown.languages("other") == []


# ---- predictions


def test_answers_are_shown_with_right_and_wrong_and_filtered_by_them(repository, tmp_path):
    rows = [make_row(i) for i in range(20, 23)]
    one = write_predictions(tmp_path / "one", zip(rows, ["answer 20", "no idea", None], strict=True))
    two = write_predictions(tmp_path / "two", zip(rows, ["nothing", "no idea", "answer 22"], strict=True), model="big")
    shown = Pages(str(repository), [one, two])
    page = shown.read(View("viquae", "test"))
    told = [[(a.model, a.text, a.mark) for a in card.answers] for card in page.cards]
    assert told[0] == [("tiny", "answer 20", "right"), ("big", "nothing", "wrong")]
    assert told[2] == [("tiny", "it was too long", "failed"), ("big", "answer 22", "right")]
    assert page.cards[0].answers[0].points.endswith(" 100")
    for mark, expected in (("right", [0, 2]), ("wrong", [0, 1]), ("failed", [2]), ("partly", [])):
        assert numbers(shown.read(View("viquae", "test", answers=mark))) == expected
    assert all(not card.answers for card in shown.read(View("viquae", "train")).cards)


def test_a_metric_without_right_and_wrong_shows_its_points_alone(tmp_path):
    rows = [make_row(i, outputs=f"a dog runs {i}", meta=json.dumps({"id": f"row-{i}"})) for i in range(3)]
    write_rows(tmp_path / "repo/data/captioning/coco/test.jsonl", rows)
    folder = write_predictions(tmp_path / "p", [(row, row["outputs"]) for row in rows], "coco")
    answers = [card.answers[0] for card in Pages(str(tmp_path / "repo"), [folder]).read(View()).cards]
    assert all(answer.mark == "" and answer.points.startswith("CIDEr") for answer in answers)
    assert not any(math.isnan(float(answer.points.split()[-1])) for answer in answers)


# ---- cards


def test_all_that_a_row_and_a_model_say_is_escaped(tmp_path):
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> ${alert(1)} {{value}} \"' \u202e"
    row = make_row(1, instruction=evil, inputs=evil, outputs=evil, meta=json.dumps({"id": evil, "more": evil}))
    write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", [row])
    folder = write_predictions(tmp_path / "p", [(row, evil)], model=evil)
    shown = Pages(str(tmp_path / "repo"), [folder])
    html = cards_html(shown.read(View()).cards, shown.entries) + note_html(evil, True)
    assert "<script" not in html and "<img src=x" not in html and "\u202e" not in html
    assert html.count("&lt;script&gt;") >= 7


def test_pictures_come_whole_in_the_card_at_their_own_ratio(source):
    shown = Pages(str(source))
    html = cards_html(shown.read(View("nlvr")).cards[:1], shown.entries)
    for k in range(2):
        assert f'src="data:image/png;base64,{base64.b64encode(picture(k)).decode()}" width="8" height="6"' in html
    assert 'alt="picture 2 of 2"' in html and "http" not in html


def test_frames_and_languages_are_said(tmp_path):
    write_rows(tmp_path / "repo/data/captioning/msrvtt/test.jsonl", [make_row(1, 8)])
    write_rows(tmp_path / "repo/data/captioning/msrvtt/ar/test.jsonl", [make_row(1, 8, outputs="قطة")])
    shown = Pages(str(tmp_path / "repo"))
    html = cards_html(shown.read(View("msrvtt", beside="msrvtt-ar")).cards, shown.entries)
    assert 'alt="frame 8 of 8"' in html and '<dd class="outputs" lang="ar" dir="rtl">قطة</dd>' in html
    assert '<dd class="outputs" lang="en" dir="auto">answer 1</dd>' in html


def test_a_picture_that_cannot_be_shown_is_said_and_the_row_is_there(tmp_path):
    row = make_row(1, image_base64_str=[base64.b64encode(b"<html>nothing").decode()])
    write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", [row])
    shown = Pages(str(tmp_path / "repo"))
    html = cards_html(shown.read(View()).cards, shown.entries)
    assert "picture 1 of 1: expected an image, found an HTML page" in html and "answer 1" in html


# ---- the address and the controls


def test_a_view_and_its_address_say_the_same():
    view = View("okvqa", "train", 17, "okvqa-zh", "a b&c=d", "2", "wrong")
    assert to_address(View("viquae", "test", 17)) == "config=viquae&split=test&row=17"
    assert of_address(dict(urllib.parse.parse_qsl(to_address(view)))) == view
    assert of_address({"__theme": "dark"}) == View()
    for wrong in ("-1", "x", "1e3", "٣", "9" * 30):
        with pytest.raises(M3ITError, match=r"row=.*: expected a number, such as 17\."):
            of_address({"row": wrong})


def test_a_choice_keeps_what_still_goes_with_it(source):
    controls = Controls(Pages(str(source)))
    assert controls.tasks() == ["kvqa", "reasoning"] and controls.languages("okvqa") == ["en", "ar"]
    now = View("okvqa-ar", "train", 17, search="dog")
    assert controls.chosen(now, language="en") == View("okvqa", "train", search="dog")
    assert controls.chosen(now, task="reasoning") == View("nlvr", "", search="dog")
    assert controls.chosen(View("nlvr", "validation", 3), task="kvqa") == View("okvqa", "")
    assert controls.chosen(now, language="ar") is now  # passed over with Tab
    assert controls.chosen(View(), dataset="nlvr").config == "nlvr"


# ---- the page


@pytest.fixture
def served(source, serving):
    """The address of the page, served in this process."""
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[demo]'")
    with serving(build(Pages(str(source)))) as url:
        yield url


def ask(url, data=None, **headers):
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
    return urllib.request.urlopen(request, timeout=60)


# What the page answers with, in the order of its components.
CHOSEN = ("task", "dataset", "language", "split", "beside", "search", "pictures", "answers", "row", "row_id")
PARTS = (*CHOSEN, "before", "after", "random", "note", "cards", "address")


def opened(url, query):
    """What the components of the page say when it is opened at an address."""
    config = json.load(ask(f"{url}/config"))
    load = next(each for each in config["dependencies"] if each["targets"][0][1] == "load")
    asked = {"data": [None] * len(load["inputs"]), "fn_index": load["id"], "session_hash": "test"}
    ask(f"{url}/gradio_api/queue/join?{query}", asked).read()
    for line in ask(f"{url}/gradio_api/queue/data?session_hash=test"):
        said = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else {}
        if said.get("msg") == "process_completed":
            return dict(zip(PARTS, said["output"]["data"], strict=False))
    raise AssertionError("the page said nothing")


def test_the_page_opens_at_the_row_that_its_address_names(served):
    with ask(f"{served}/?config=okvqa") as answer:
        assert b"M3IT rows" in answer.read() and "default-src 'self'" in answer.headers["content-security-policy"]
    said = opened(served, "config=okvqa&split=train&row=17&beside=okvqa-ar")
    values = [said[name]["value"] if isinstance(said[name], dict) else said[name] for name in CHOSEN[:9]]
    assert values == ["kvqa", "okvqa", "en", "train", "okvqa-ar", "", "", "", "17"]
    assert said["split"]["choices"] == [["train", "train"]] and said["beside"]["choices"][1] == ["okvqa-ar"] * 2
    assert "okvqa, train: rows 17 to 28 of 40" in said["note"]
    assert "What is 17?" in said["cards"] and "ما هو 17؟" in said["cards"]
    assert said["address"] == "config=okvqa&split=train&row=17&beside=okvqa-ar"
    assert said["before"]["interactive"] and said["after"]["interactive"]


def test_a_wrong_address_opens_the_first_page_and_says_what_is_wrong(served):
    said = opened(served, "config=okvqua")
    assert "Did you mean &#x27;okvqa&#x27;?" in said["note"] and "What is 0?" in said["cards"]
    assert said["dataset"]["value"] == "okvqa" and not said["before"]["interactive"]


@pytest.mark.parametrize("path, headers", [
    ("/gradio_api/file=/etc/hostname", {}), ("/gradio_api/file=setup.cfg", {}), ("/gradio_api/upload", {}),
    ("/gradio_api/proxy=http://127.0.0.1/", {}), ("/gradio_api/info", {}), ("/docs", {}), ("/openapi.json", {}),
    ("/", {"host": "rebound.example"}), ("/config", {"host": "127.0.0.1.example:80"}),
])  # fmt: skip
def test_nothing_else_is_served(served, path, headers):
    for data in (None, {}):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(served + path, data, **headers)


def test_a_port_that_is_taken_is_said(source):
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[demo]'")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(
            M3ITError, match=rf"port {port} cannot be used \(.*\)\. Pass another one, or 0 .*: --port 0"
        ):
            door.serve(build(Pages(str(source))), port, print)


def test_the_command_says_what_is_missing_and_what_is_wrong(m3it, source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    code, _, err = m3it("browse", "--repo", source)
    assert code == 1 and "m3it browse needs Gradio: pip install 'm3it[demo]'" in err
    code, _, err = m3it("browse", "--repo", source, "--predictions", tmp_path / "nowhere")
    assert code == 1 and "nowhere: there is no such file. Name a folder that m3it predict wrote." in err
