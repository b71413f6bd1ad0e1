"""The set that m3it.sources.shapes draws: its answers are checked on the pixels, by an evaluator of their own."""

import hashlib
import re
from collections import Counter

import numpy as np
import pytest

from m3it.rows.images import pixels
from m3it.sources.kit.files import SourcePath
from m3it.sources.shapes import convert, generate

PUBLISHED = {  # pictures, different questions, true answers of the release
    "train.large": (13_568, 212, 4_985),
    "val": (1_024, 16, 394),
    "test": (1_024, 16, 375),
}
WORD = "circle|square|triangle|red|green|blue"
RELATION = "above|below|left_of|right_of"
PLACE = rf"\((?:{RELATION}) (?:{WORD})\)"
GRAMMAR = re.compile(rf"\(is (?:{WORD}) (?:{WORD}|{PLACE}|\((?:{RELATION}) {PLACE}\))\)")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    generate(folder)
    return folder


def lines_of(root, part, end):
    text = (root / f"{part}.{end}").read_bytes().decode("ascii")
    assert text.endswith("\n") and "\r" not in text
    return text.split("\n")[:-1]


def seen_in(picture):
    """What a person sees: {(row, column): (shape, colour)}, from the pixels of an RGB picture alone."""
    cells = {}
    for row in range(3):
        for column in range(3):
            cell = picture[10 * row : 10 * row + 10, 10 * column : 10 * column + 10].astype(int)
            if not cell.any():
                continue
            colour = ("red", "green", "blue")[cell.sum((0, 1)).argmax()]
            light = cell.max(2) / cell.max()
            if light[:5].sum() < 0.4 * light.sum():
                shape = "triangle"  # most of it is below the middle
            else:  # a square fills width x width, a circle 0.79 of it
                shape = "square" if light.sum() > 0.9 * light.sum(1).max() ** 2 else "circle"
            cells[row, column] = shape, colour
    return cells


def places(expression, cells):
    """The places that an expression means: for a word its cells, for (left_of X) those just left of an X, and so on."""
    if expression in WORD.split("|"):
        return {place for place, thing in cells.items() if expression in thing}
    relation, inner = re.fullmatch(r"\((\w+) (.+)\)", expression).groups()
    step = {"above": (-1, 0), "below": (1, 0), "left_of": (0, -1), "right_of": (0, 1)}[relation]
    moved = {(row + step[0], column + step[1]) for row, column in places(inner, cells)}
    return {(row, column) for row, column in moved if 0 <= row < 3 and 0 <= column < 3}


def answer(query, cells):
    first, rest = re.fullmatch(r"\(is (\w+) (.+)\)", query).groups()
    return "true" if places(first, cells) & places(rest, cells) else "false"


@pytest.mark.parametrize("part", PUBLISHED)
def test_set_has_the_published_size_and_balance(root, part):
    num_pictures, num_questions, num_true = PUBLISHED[part]
    pictures = np.load(root / f"{part}.input.npy", mmap_mode="r")
    queries, answers = lines_of(root, part, "query"), lines_of(root, part, "output")
    assert pictures.shape == (num_pictures, 30, 30, 3) and pictures.dtype == np.uint8
    assert set(Counter(queries).values()) == {64} and len(set(queries)) == num_questions
    assert [queries[i] for i in range(0, num_pictures, 64)] == list(dict.fromkeys(queries))  # side by side
    assert all(GRAMMAR.fullmatch(query) for query in queries)
    assert Counter(answers) == {"true": num_true, "false": num_pictures - num_true}


def test_no_question_is_asked_in_two_sets(root):
    asked = [set(lines_of(root, part, "query")) for part in PUBLISHED]
    assert len(set.union(*asked)) == sum(map(len, asked)) == 244


@pytest.mark.parametrize("part", PUBLISHED)
def test_every_answer_can_be_seen_in_its_picture(root, part):
    pictures = np.load(root / f"{part}.input.npy")[..., ::-1]
    for query, said, picture in zip(lines_of(root, part, "query"), lines_of(root, part, "output"), pictures):
        cells = seen_in(picture)
        assert answer(query, cells) == said, f"{query}: {said}, but seen is {cells}"
        assert places(query.split()[1], cells), f"{query}: nothing of what is asked about in {cells}"


def test_pictures_are_as_varied_as_the_published_ones(root):
    cells = [thing for picture in np.load(root / "test.input.npy")[..., ::-1] for thing in seen_in(picture).items()]
    assert len(cells) / (1_024 * 9) == pytest.approx(0.8, abs=0.03)  # a cell is empty with chance 0.2
    for word in WORD.split("|"):
        assert sum(word in thing for _, thing in cells) / len(cells) == pytest.approx(1 / 3, abs=0.1)


def test_one_question_has_many_different_pictures(root):
    pictures = np.load(root / "val.input.npy")
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_colours_are_jittered_around_the_pure_ones(root):
    pictures = np.load(root / "val.input.npy")[..., ::-1]
    middles = pictures[:, 5::10, 5::10].reshape(-1, 3).astype(int)  # the middle of a cell is inside of any shape
    middles = np.sort(middles[middles.any(1)])
    assert middles[:, 2].min() >= 204 and middles[:, 1].max() <= 51  # 255 x (1 - 0.2) and 255 x 0.2
    assert len(np.unique(middles[:, 2])) > 40 and len(np.unique(middles[:, 1])) > 40


def test_english_questions_are_those_of_the_release():
    """Questions and their words as sources/shapes gives them."""
    from m3it.sources.shapes import english

    assert english("(is red red)") == "is a red shape red"
    assert english("(is green triangle)") == "is a green shape a triangle"
    assert english("(is green (left_of red))") == "is a green shape left of a red shape"
    assert english("(is triangle (above (right_of square)))") == "is a triangle above right of a square"


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        generate(tmp_path / name, seed, num_questions=3, num_pictures=5)
    one, two, three = (
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two", "three")
    )
    assert one == two and len(one) == 12
    assert one["val.input.npy"] != three["val.input.npy"] and one["val.query"] != three["val.query"]


def test_a_small_set_is_a_part_of_the_full_one(root, tmp_path):
    generate(tmp_path, num_questions=3, num_pictures=5)
    queries = lines_of(root, "val", "query")
    kept = [i for i in range(3 * 64) if i % 64 < 5]
    assert lines_of(tmp_path, "val", "query") == [queries[i] for i in kept]
    assert lines_of(tmp_path, "val", "output") == [lines_of(root, "val", "output")[i] for i in kept]


def test_conversion_turns_the_colours_round_and_says_yes_or_no(root):
    instances = list(convert(SourcePath(root), "validation"))
    assert len(instances) == 1_024
    for instance in instances[::100]:
        cells = seen_in(pixels(instance.images[0]))
        assert instance.outputs == {"true": "yes", "false": "no"}[answer(instance.meta["query"], cells)]
    assert [i.inputs for i in instances] == lines_of(root, "val", "query_str.txt")
