"""Five ways to read a picture say the same of each of the odd files of odd_images.py: the same picture, or a refusal
with its place and its reason."""

import base64
import json
import re

import datasets
import pytest
from conftest import make_row, write_rows
from odd_images import ODD
from PIL import Image

from m3it import M3ITError, load_dataset
from m3it.publishing.check import check_shard
from m3it.publishing.release import release
from m3it.publishing.statistics import Tally
from m3it.rows import images

REASONS = {"image cannot be read", "image is not base64"}
NAME = "data/vqa/mine/train.jsonl"
WRONG = {name: odd for name, odd in ODD.items() if odd.refused}
RIGHT = {name: odd for name, odd in ODD.items() if not odd.refused}


def text_of(odd):
    return odd.data if isinstance(odd.data, str) else base64.b64encode(odd.data).decode()


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repository whose rows have one of the files each, with the file's name as inputs and as id."""
    root = tmp_path_factory.mktemp("odd")
    meta = '{{"id": "{}"}}'.format
    rows = [make_row(0, inputs=n, meta=meta(n), image_base64_str=[text_of(odd)]) for n, odd in ODD.items()]
    write_rows(root / NAME, rows)
    return root


def looks_as(array, odd):
    """Whether an array of pixels is the picture; JPEG rounds, all others are within 0.5."""
    corner = array[0, :3].mean(0)
    sizes = array.shape[1::-1] == odd.size
    return (
        sizes
        and array.mean((0, 1)) == pytest.approx(odd.mean, abs=2)
        and corner == pytest.approx(odd.corner or odd.mean, abs=5)
    )


def test_there_are_enough_of_them():
    assert len(RIGHT) > 120 and len(WRONG) > 50


@pytest.mark.parametrize("side", [None, 16], ids=["whole", "reduced"])
@pytest.mark.parametrize("name", RIGHT)
def test_pixels_are_those_of_the_picture(name, side):
    odd = RIGHT[name]
    data = images.read_base64(text_of(odd))
    found = images.pixels(data, name, side)
    if side is None:
        assert images.size(data) == odd.size and looks_as(found, odd)
    else:
        assert max(found.shape[:2]) == min(side, max(odd.size))
        assert found.mean((0, 1)) == pytest.approx(odd.mean, abs=4)


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_picture_is_refused_with_its_row_and_reason(name):
    odd = WRONG[name]
    with pytest.raises(images.ImageError, match=f"^{re.escape(name)}: expected an image, found .*({odd.refused})"):
        images.pixels(images.read_base64(text_of(odd), name), name)
    if isinstance(odd.data, bytes) and odd.by == "header":
        with pytest.raises(images.ImageError, match=f"^{re.escape(name)}: .*({odd.refused})"):
            images.size(odd.data, name)


def test_check_finds_all_of_them_and_no_other(repo):
    from M3IT import Repository

    said = {name: found for name, (_, _, found) in zip(ODD, check_shard(Repository(repo), NAME, Tally()), strict=True)}
    for name, odd in ODD.items():
        if odd.refused:
            assert said[name].rule in ("image", "base64") and re.search(odd.refused, said[name].message), name
            assert said[name].where == f"{NAME}:{list(ODD).index(name) + 1}"
        else:  # other programs' forms of base64 are read, and told
            assert said[name] is None or said[name].rule == "types" and isinstance(odd.data, str), name


def shown(row):
    """What `datasets` shows of a row's picture, as it stands there."""
    return row["images"][0]


@pytest.fixture(scope="module")
def dropped(repo, tmp_path_factory):
    """What load_dataset(images=True) gives of the repository."""
    cache = tmp_path_factory.mktemp("cache")
    options = {"split": "train", "images": True, "on_error": "drop", "cache_dir": str(cache)}
    return load_dataset(repo, "mine", **options)


def test_load_dataset_gives_the_pictures_and_drops_the_others(dropped):
    assert dropped["inputs"][:] == list(RIGHT)
    files = dropped.cast_column("images", [datasets.Image(decode=False)])
    for row, file in zip(dropped, files, strict=True):
        odd, data = ODD[row["inputs"]], shown(file)["bytes"]
        assert shown(row).size == odd.size, row["inputs"]
        assert looks_as(images.pixels(data), odd), row["inputs"]
        if not re.search("megabytes|EXIF block that is none", row["inputs"]):
            assert data == images.read_base64(text_of(odd)), row["inputs"]


def test_load_dataset_raises_at_what_has_no_header(tmp_path):
    for name, odd in WRONG.items():
        if odd.by == "header":
            write_rows(tmp_path / NAME, [make_row(0), make_row(1, image_base64_str=[text_of(odd)])])
            stream = load_dataset(tmp_path, "mine", split="train", images=True, streaming=True)
            with pytest.raises(M3ITError, match=rf"train\.jsonl:2: expected .*({odd.refused})"):
                list(stream)


def test_a_release_holds_the_pictures_and_drops_the_others(repo, tmp_path):
    release(str(repo), tmp_path / "release", on_error="drop")
    options = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    rows = datasets.load_dataset(str(tmp_path / "release"), "mine-images", **options)
    texts = datasets.load_dataset(str(tmp_path / "release"), "mine", **options)
    assert rows["inputs"][:] == texts["inputs"][:] == list(RIGHT)
    for row, text in zip(rows, texts, strict=True):
        odd = ODD[row["inputs"]]
        assert shown(row).size == (row["width"], row["height"]) == odd.size, row["inputs"]
        assert looks_as(images.pixels(images.read_base64(text["image_base64_str"][0])), odd), row["inputs"]
    drops = [json.loads(line) for line in (tmp_path / "release/drops.jsonl").read_text("utf-8").splitlines()]
    assert len(drops) == len(WRONG) and {drop["reason"] for drop in drops} == REASONS


def test_a_mixture_with_a_collator_takes_the_pictures_and_drops_the_others(repo, tmp_path):
    pytest.importorskip("transformers", reason="transformers is an extra")
    pytest.importorskip("torch", reason="torch is an extra")
    from small_models import small

    from m3it import Mixture
    from m3it.models.collator import Collator

    collator = Collator(small("llava")[1])
    options = {"on_error": "drop", "max_drops": 1000, "cache_dir": str(tmp_path)}
    mixture = Mixture(repo, ["mine"], batch_size=1, transform=collator.prepare, **options)
    read = {row.id: row for i in range(mixture.num_rows) if (row := mixture.row(i)) is not None}
    assert set(read) == set(RIGHT)
    drops = mixture.drops()["mine"]
    assert set(drops) == REASONS and sum(drops.values()) == len(WRONG)
    for name, row in read.items():
        assert isinstance(row.images[0], Image.Image)
        assert looks_as(images.np.asarray(row.images[0]), ODD[name]), name
