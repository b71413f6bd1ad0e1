"""The picture maker: what it says of a picture is checked by other code, on the record and on the pixels."""

import io
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
import scenes
from PIL import Image, ImageChops, ImageOps
from scenes import COLOURS, Scene, Thing, caption, draw, question, scene

NAMES = [f"picture {i}" for i in range(40)]
STREET = Scene(
    "street",
    sign="OPEN",
    things=(
        Thing("car", "red", 2, 0),
        Thing("house", "blue", 1, 1),
        Thing("car", "white", 2, 3, big=False),
        Thing("umbrella", "orange", 0, 3),
    ),
)
GOLDEN = Scene(
    "golden",
    (Thing("triangle", "black", 1, 1), Thing("robot", "green", 2, 0), Thing("triangle", "red", 0, 1, big=False)),
    "beige",
    sign="MUSEUM",
)
GOLDEN_SHAPES = ["triangle", "heart", "circle", "star", "triangle"]
CLIP_NAME = "clip 8"  # a blue umbrella
STAR = Scene("star", (Thing("star", "yellow", 0, 0), Thing("tree", "green", 1, 2)))


def near(pixel, colour, tolerance=12):
    """Where the pixels (..., 3) are of this colour."""
    return (np.abs(np.asarray(pixel, int) - colour) <= tolerance).all(-1)


def test_the_same_name_gives_the_same_record_and_the_same_bytes():
    for name in NAMES[:5]:
        first, second = scene(name, sign=True), scene(name, sign=True)
        assert first == second
        scenes.sprite.cache_clear()
        one = scenes.jpeg(first), scenes.png(first, mode="P"), caption(first), question(first, "colour")
        scenes.sprite.cache_clear()
        assert one == (scenes.jpeg(second), scenes.png(second, mode="P"), caption(second), question(second, "colour"))
    assert len({scenes.png(scene(name)) for name in NAMES}) == len(NAMES)


def test_records_stay_what_they_were():
    """Fixtures of 40 datasets are made from these records: a change here changes them all."""
    assert scene("golden", num_things=3, sign=True) == GOLDEN
    assert [thing.kind for thing in scene("golden", kinds=scenes.SHAPES).things] == GOLDEN_SHAPES


def test_a_scene_has_one_thing_a_cell_and_no_two_alike():
    for name in NAMES:
        for num_things in (None, 1, 2, 5, 8):
            things = scene(name, num_things).things
            assert len(things) == (num_things or len(things)) and 1 <= len(things) <= 8
            assert len({(thing.row, thing.column) for thing in things}) == len(things)
            assert len({(thing.kind, thing.colour) for thing in things}) == len(things)
    assert {thing.kind for name in NAMES for thing in scene(name, 3, ["dog", "cup"]).things} == {"dog", "cup"}
    with pytest.raises(ValueError, match="at most 8"):
        scene("crowd", 9)


@pytest.mark.parametrize("size", [(240, 180), (160, 120), (320, 200)])
def test_boxes_are_tight_and_hold_the_colour_of_the_thing(size):
    for name in NAMES[:15]:
        record = scene(name, sign=True if size[0] == 240 else None)
        picture = draw(record, *size)
        for thing in record.things:
            without = draw(replace(record, things=tuple(t for t in record.things if t != thing)), *size)
            box = scenes.box(record, thing, *size)
            assert ImageChops.difference(picture, without).getbbox() == box
            inside = near(np.asarray(picture.crop(box)), COLOURS[thing.colour][0])
            assert inside.mean() > 0.1, thing
            assert 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3] <= size[1]


def test_pixels_of_known_pictures():
    picture = draw(STREET)
    assert picture.size == (240, 180) and picture.getpixel((120, 4)) == scenes.GROUNDS["grey"]
    left, top, right, bottom = scenes.box(STREET, STREET.things[0])
    assert near(picture.getpixel(((left + right) // 2, top + (bottom - top) * 2 // 3)), (220, 30, 36))  # the car's door
    assert near(draw(STAR).getpixel((30, 30)), (250, 220, 10))  # the middle of the first cell
    left, top, right, bottom = scenes.sign_box(STREET)
    board = np.asarray(picture.crop((left + 3, top + 3, right - 3, bottom - 3)))
    assert near(board, scenes.PAPER).mean() > 0.5 and near(board, (0, 0, 0)).sum() > 50


def test_every_kind_and_colour_differs_from_the_others():
    masks = {kind: np.asarray(scenes.sprite(kind, "red", 60))[..., 3] > 128 for kind in scenes.KINDS}
    for kind, mask in masks.items():
        for other in scenes.KINDS:
            assert kind == other or (mask != masks[other]).mean() > 0.05, (kind, other)
    palette = np.array([rgb for rgb, _ in COLOURS.values()])
    distances = np.abs(palette[:, None] - palette[None]).sum(-1) + 999 * np.eye(len(palette))
    assert distances.min() > 90
    for grey in (scenes.INK, scenes.PALE):  # parts of a thing must not be taken for a colour
        assert not near(palette, grey, 30).any()


def test_modes_and_formats_read_back_as_what_they_are():
    upright = np.asarray(draw(STREET).convert("L"), int)
    for mode in ("RGB", "L", "CMYK"):
        image = Image.open(io.BytesIO(scenes.jpeg(STREET, mode=mode)))
        assert image.mode == mode and image.format == "JPEG"
        assert np.abs(np.asarray(image.convert("L"), int) - upright).mean() < 3
    for mode in ("RGB", "L", "P", "RGBA"):
        image = Image.open(io.BytesIO(scenes.png(STREET, mode=mode)))
        assert image.mode == mode and image.format == "PNG"
    assert image.getpixel((120, 4)) == (0, 0, 0, 0) and image.getpixel((100, 80))[3] == 255  # RGBA: no ground, a house
    assert len(scenes.jpeg(STREET)) < 8000
    assert Image.open(io.BytesIO(scenes.encode(STREET, 100, 80, "GIF", "P"))).size == (100, 80)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_pixels_so_that_a_viewer_sees_them_upright(orientation):
    for make in (scenes.png, scenes.jpeg):
        image = Image.open(io.BytesIO(make(STREET, exif_orientation=orientation)))
        assert image.getexif()[0x0112] == orientation
        assert image.size == ((240, 180) if orientation < 5 else (180, 240))
        difference = np.abs(np.asarray(ImageOps.exif_transpose(image), int) - np.asarray(draw(STREET), int))
        assert difference.mean() < 3


# ---- words ----


def present(record, words):
    """The things of the record that "red car" or "car" names."""
    *colour, kind = words.split()
    return [t for t in record.things if t.kind == kind and colour in ([], [t.colour])]


def answer_by_reading(record, text):
    """The answer to an English question, found again from its words and the record alone."""
    if match := re.fullmatch(r"What colour is the (\w+)\?", text):
        (thing,) = present(record, match[1])
        return thing.colour
    if match := re.fullmatch(r"Which thing is (\w+)\?", text):
        (thing,) = [t for t in record.things if t.colour == match[1]]
        return thing.kind
    if match := re.fullmatch(r"How many (\w+) are there\?", text):
        return str(len([t for t in record.things if t.kind in (match[1], match[1].removesuffix("s"))]))
    if match := re.fullmatch(r"Is the (\w+ \w+) to the left or to the right of the (\w+ \w+)\?", text):
        (one,), (other,) = present(record, match[1]), present(record, match[2])
        size = (240, 180)
        middles = [sum(scenes.box(record, thing, *size)[::2]) / 2 for thing in (one, other)]
        return "left" if middles[0] < middles[1] else "right"
    if match := re.fullmatch(r"Is there an? (\w+ \w+)\?", text):
        return "yes" if present(record, match[1]) else "no"
    if match := re.fullmatch(r"Is the (\w+) (\w+)\?", text):
        (thing,) = present(record, match[1])
        return "yes" if thing.colour == match[2] else "no"
    assert text == "What does the sign say?"
    return record.sign


@pytest.mark.parametrize("kind", list(scenes.FACTS))
def test_every_answer_is_right_and_the_only_right_option(kind):
    answers, asked = [], 0
    for name in NAMES:
        for k in range(4):
            try:
                asks = question(scene(name, sign=True), kind, k=k)
            except ValueError:
                continue
            answer = answer_by_reading(scene(name, sign=True), asks.question)
            assert asks.answer == answer and asks.options.count(answer) == 1
            assert len(set(asks.options)) == len(asks.options) >= 2
            answers.append(answer)
            asked += 1
    assert asked > 130
    assert max(answers.count(a) for a in set(answers)) < asked * (0.9 if kind == "count" else 0.7)


def test_a_question_without_a_sure_answer_is_refused():
    twins = Scene("twins", (Thing("car", "red", 0, 0), Thing("car", "blue", 1, 0)))
    for kind in ("colour", "yesno", "where", "sign"):
        with pytest.raises(ValueError, match=f"'twins': no '{kind}' question"):
            question(twins, kind)
    assert question(twins, "count").answer == "2"


def test_questions_written_out():
    """By hand, from STREET: a red car, a blue house, a white car, an orange umbrella, and a sign that says OPEN."""
    texts = {
        question(STREET, kind, k=k).question: question(STREET, kind, k=k).answer
        for kind in scenes.FACTS
        for k in range(12)
    }
    assert texts["What colour is the umbrella?"] == "orange"
    assert texts["How many cars are there?"] == "2"
    assert texts["Is there an orange umbrella?"] == "yes"
    assert texts["Is the white car to the left or to the right of the blue house?"] == "right"
    assert texts["What does the sign say?"] == "OPEN"
    assert "What colour is the car?" not in texts  # there are two


def test_translated_questions_ask_the_same_of_the_same_thing():
    for name in NAMES[:20]:
        record = scene(name, sign=True)
        for kind in scenes.FACTS:
            for language in scenes.LANGUAGES:
                try:
                    english, translated = question(record, kind), question(record, kind, language)
                except ValueError:
                    continue
                position = english.options.index(english.answer)
                assert translated.options.index(translated.answer) == position
                assert len(set(translated.options)) == len(english.options)
                assert "{" not in translated.question and not re.search(r"  |^ | $", translated.question)
                if language in ("zh", "ja", "ar"):
                    assert not re.search("[a-z]", translated.question)


@pytest.mark.parametrize(
    "thing, form, words",
    [
        (
            Thing("umbrella", "orange"),
            "a",
            {
                "en": "an orange umbrella",
                "zh": "一把橙色的雨伞",
                "ja": "オレンジ色の傘",
                "de": "ein orangefarbener Regenschirm",
                "fr": "un parapluie orange",
                "es": "un paraguas naranja",
                "ar": "مظلة برتقالية",
            },
        ),
        (
            Thing("star", "white"),
            "the",
            {
                "en": "the white star",
                "zh": "白色的星星",
                "ja": "白い星",
                "de": "der weiße Stern",
                "fr": "l'étoile blanche",
                "es": "la estrella blanca",
                "ar": "النجمة البيضاء",
            },
        ),
        (
            Thing("house", "red"),
            "of",
            {
                "en": "of the red house",
                "zh": "红色的房子",
                "ja": "赤い家",
                "de": "vom roten Haus",
                "fr": "de la maison rouge",
                "es": "de la casa roja",
                "ar": "المنزل الأحمر",
            },
        ),
        (
            Thing("dog", "black"),
            "of",
            {
                "en": "of the black dog",
                "de": "vom schwarzen Hund",
                "fr": "du chien noir",
                "es": "del perro negro",
                "ar": "الكلب الأسود",
            },
        ),
    ],
)
def test_names_agree_in_gender_and_case(thing, form, words):
    assert {language: scenes.name_of(thing, language, form) for language in words} == words


def test_every_word_is_there_in_every_language():
    for language in scenes.LANGUAGES:
        nouns = [scenes.noun(kind, language) for kind in scenes.KINDS]
        colours = [scenes.colour_name(colour, language) for colour in COLOURS]
        assert len(set(nouns)) == len(nouns) and len(set(colours)) == len(colours)
        for kind in scenes.KINDS:
            assert len(scenes.NOUNS[kind][language].split()) == {"zh": 2, "ja": 2}.get(language, 3)


def test_captions_are_distinct_and_name_each_thing_and_the_sign():
    for name in NAMES[:20]:
        record = scene(name, sign=True)
        for language in scenes.LANGUAGES:
            captions = [caption(record, language, k) for k in range(5)]
            assert len(set(captions)) == 5
            for text in captions:
                assert all(scenes.name_of(t, language).lower() in text.lower() for t in record.things)
                assert record.sign in text
        named = re.findall(r"\ban? (\w+) (\w+)", caption(record, k=2))
        assert sorted(named) == sorted([(t.colour, t.kind) for t in record.things] + [("sign", "that")])
    both = "A picture of a yellow star and a green tree.", "A picture of a green tree and a yellow star."
    assert {caption(STAR, k=k) for k in (1, 6, 11, 16, 21, 26)} == set(both)


def test_a_paragraph_tells_where_each_thing_is():
    assert scenes.paragraph(STREET) == (
        "The picture shows four things on a grey background. A big orange umbrella is at the top, far right. A big "
        "blue house is in the middle, left of centre. A big red car is at the bottom, far left. A small white car is "
        'at the bottom, far right. A sign at the foot says "OPEN".'
    )


def test_statements_are_as_true_as_asked():
    numbers = {"one": 1, "two": 2, "three": 3}

    def holds(record, text):
        if match := re.fullmatch(r"There is an? (\w+ \w+) in the picture\.", text):
            return bool(present(record, match[1]))
        if match := re.fullmatch(r"There (?:is|are) exactly (\w+) (\w+) in the picture\.", text):
            found = len([t for t in record.things if match[2] in (t.kind, scenes.NOUNS[t.kind]["en"].split()[2])])
            return found == numbers[match[1]]
        match = re.fullmatch(r"The (\w+ \w+) is to the (left|right) of the (\w+ \w+)\.", text)
        (one,), (other,) = present(record, match[1]), present(record, match[3])
        return one.column < other.column if match[2] == "left" else one.column > other.column

    for name in NAMES:
        for k in range(6):
            for truth in (True, False):
                assert holds(scene(name), scenes.statement(scene(name), truth, k)) is truth


# ---- flags, pages, clips ----


@pytest.mark.parametrize(
    "k, country, points",
    [  # (x, y) in fractions of the cloth
        (0, "France", {(0.15, 0.5): "blue", (0.5, 0.5): "white", (0.85, 0.5): "red"}),
        (1, "Japan", {(0.5, 0.5): "red", (0.1, 0.1): "white", (0.9, 0.9): "white"}),
        (4, "Germany", {(0.5, 0.15): "black", (0.5, 0.5): "red", (0.5, 0.85): "yellow"}),
        (5, "Italy", {(0.15, 0.5): "green", (0.5, 0.5): "white", (0.85, 0.5): "red"}),
        (7, "Colombia", {(0.5, 0.25): "yellow", (0.5, 0.6): "blue", (0.5, 0.9): "red"}),
        (8, "Sweden", {(0.1, 0.1): "blue", (0.38, 0.9): "yellow", (0.9, 0.5): "yellow"}),
        (10, "Poland", {(0.5, 0.25): "white", (0.5, 0.75): "red"}),
        (13, "Ireland", {(0.15, 0.5): "green", (0.5, 0.5): "white", (0.85, 0.5): "orange"}),
        (18, "Switzerland", {(0.5, 0.5): "white", (0.5, 0.3): "white", (0.1, 0.5): "red", (0.3, 0.3): "red"}),
    ],
)
def test_flags_have_the_colours_of_their_country(k, country, points):
    known = scenes.knowledge(k)
    assert known.entity == country == known.scene.flag
    picture, (left, top, right, bottom) = draw(known.scene), scenes.flag_box(known.scene)
    for (x, y), colour in points.items():
        pixel = picture.getpixel((int(left + x * (right - left)), int(top + y * (bottom - top))))
        assert pixel == COLOURS[colour][0], (country, x, y)


def test_knowledge_questions_have_one_right_answer_in_every_language():
    capitals = {scenes.knowledge(k).entity: scenes.knowledge(k).answer for k in range(19)}
    assert capitals["France"] == "Paris" and capitals["Ukraine"] == "Kyiv" and len(set(capitals.values())) == 19
    for k in range(3 * 19):
        for language in scenes.LANGUAGES:
            known = scenes.knowledge(k, language=language)
            assert len(set(known.wrong_answers)) == 3 and known.answer not in known.wrong_answers
    assert scenes.knowledge(1, "continent", "fr").answer == "Asie"
    assert scenes.knowledge(1, "capital", "zh").answer == "东京"
    assert len({scenes.png(scenes.knowledge(k).scene) for k in range(19)}) == 19  # no two flags alike
    assert caption(scenes.knowledge(0).scene) == "A flag."


def test_pages_carry_ink_in_every_line_and_grow_with_the_text():
    short, long = scenes.page(["Bakery", ("Total", "12.50")]), scenes.page(["Bakery", ("Total", "12.50"), "word " * 40])
    assert short.width == long.width == 320 and short.height < long.height
    dark = np.asarray(long.convert("L")) < 100
    assert dark[:, :10].sum() == dark[:, -10:].sum() == 0 and dark[-8:].sum() == 0  # nothing is cut off
    assert dark[20:60, 250:].any()  # the value stands at the right
    with pytest.raises(ValueError, match="leave height out"):
        scenes.page(["word"] * 30, height=100)
    assert scenes.page(["word"], height=300).size == (320, 300)
    assert scenes.cover("The Red House", "Ada Finch").tobytes() != scenes.cover("The Red House", "Bo Finch").tobytes()


def test_each_level_of_blur_has_less_detail():
    pictures = [np.asarray(scenes.blurred(draw(STREET), level).convert("L"), float) for level in range(5)]
    detail = [np.abs(np.diff(picture)).max() for picture in pictures]  # the steepest edge, in grey levels a pixel
    assert all(finer > 1.3 * coarser for finer, coarser in itertools.pairwise(detail)), detail


def path_of(file, colour):
    """(x, y, number of pixels) of the colour in each frame of a video."""
    av = pytest.importorskip("av")
    with av.open(str(file)) as container:
        for picture in container.decode(video=0):
            y, x = np.nonzero(near(picture.to_ndarray(format="rgb24"), COLOURS[colour][0], 60))
            yield (x.mean(), y.mean(), len(x)) if len(x) > 20 else (None, None, 0)


@pytest.mark.parametrize("suffix", ["mp4", "webm", "avi"])
@pytest.mark.parametrize("motion", list(scenes.MOTIONS))
def test_a_clip_moves_as_it_says_and_is_the_same_bytes_twice(tmp_path, suffix, motion):
    pytest.importorskip("av")
    record = scenes.clip(tmp_path / f"one.{suffix}", CLIP_NAME, motion)
    assert scenes.clip(tmp_path / f"two.{suffix}", CLIP_NAME, motion) == record
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()
    frames = list(path_of(tmp_path / f"one.{suffix}", record.scene.things[0].colour))
    assert len(frames) == record.num_frames == 16
    (x0, y0, n0), (x1, y1, n1) = frames[0], frames[-1]
    if motion == "appears":
        assert n0 == 0 and n1 > 200
    elif motion == "grows":
        assert n1 > 5 * n0 and abs(x1 - x0) < 8
    else:
        way = {"left to right": (1, 0), "right to left": (-1, 0), "up": (0, -1), "down": (0, 1)}[motion]
        moved = (round((x1 - x0) / 60), round((y1 - y0) / 60))  # 160 x 120: about 110 and 70 pixels
        assert (np.sign(moved[0]), np.sign(moved[1])) == way


def test_what_is_said_of_a_clip():
    clips = {motion: scenes.Clip(Scene("drive", (Thing("car", "red"),)), motion, 16, 8) for motion in scenes.MOTIONS}
    right, grows = clips["left to right"], clips["grows"]
    assert scenes.clip_caption(right) == "A red car moves to the right."
    assert scenes.clip_caption(grows, "de") == "Ein rotes Auto wird größer."
    asked = scenes.clip_question(right, "motion")
    assert (asked.question, asked.answer) == ("Which way does the car move?", "to the right")
    assert sorted(asked.options) == ["down", "to the left", "to the right", "up"]
    assert scenes.clip_question(right, "what", "zh").answer == "汽车"
    assert scenes.clip_question(right, "colour", "es").answer == "rojo"
    with pytest.raises(ValueError, match="no direction"):
        scenes.clip_question(grows, "motion")
    with pytest.raises(ValueError, match="choose one of"):
        scenes.clip("never written.mp4", "c", "sideways")
    for language in scenes.LANGUAGES:
        assert len({scenes.clip_caption(clip, language) for clip in clips.values()}) == 6


def test_frames_are_the_pictures_of_the_clip():
    grows = scenes.Clip(Scene("drive", (Thing("car", "red"),)), "grows", 16, 8)
    ground = Image.new("RGB", (160, 120), scenes.GROUNDS["grey"])
    boxes = [ImageChops.difference(scenes.frame(grows, k), ground).getbbox() for k in (0, 15)]
    # The square grows from a fifth to four fifths of the height, 24 to 96 pixels; the car takes 94 parts of its 106.
    first, last = [right - left for left, _, right, _ in boxes]
    assert first == pytest.approx(21, abs=3) and last == pytest.approx(85, abs=3)
