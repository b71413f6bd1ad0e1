"""m3it/publishing/parquet.py: row groups, the sizes of pictures, digests, and files that change."""

import base64
import hashlib
import io
import shutil

import pytest
from conftest import make_row, picture, write_rows
from PIL import Image

from M3IT import ShardError
from m3it.publishing.parquet import groups, row_digest, split_digest
from m3it.publishing.release import release
from m3it.rows.images import pixels, size


def test_a_row_group_ends_at_100_rows_or_before_100_MB():
    tiny, big = {"files": [b"x"]}, {"files": [bytes(15_000_000)] * 2}
    assert [len(group) for group in groups([tiny] * 250)] == [100, 100, 50]
    assert [len(group) for group in groups([big, big, big, tiny, big, big])] == [2, 3, 1]  # 40 MB each, as base64
    assert [len(group) for group in groups([{"files": [bytes(15_000_000)] * 6}, tiny])] == [1, 1]
    text = {"files": []}
    assert [len(group) for group in groups([text] * 1500 + [tiny] * 150)] == [1000, 600, 50]
    assert list(groups([])) == []


def jpeg(**options):
    data = io.BytesIO()
    Image.new("RGB", (40, 20), (9, 90, 9)).save(data, "JPEG", **options)
    return data.getvalue()


def other(format, mode="RGB"):
    data = io.BytesIO()
    Image.new(mode, (40, 20)).save(data, format)
    return data.getvalue()


TURNED = Image.Exif()
TURNED[0x0112] = 6  # lies on its side


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (jpeg(), (40, 20)),
        (jpeg(progressive=True), (40, 20)),
        (jpeg(comment=b"c" * 300), (40, 20)),
        (jpeg(exif=TURNED), (20, 40)),
        (other("JPEG", "L"), (40, 20)),
        (other("JPEG", "CMYK"), (40, 20)),
        (other("PNG"), (40, 20)),
        (other("PNG", "P"), (40, 20)),
        (other("GIF", "P"), (40, 20)),
        (other("WEBP"), (40, 20)),
        (other("BMP"), (40, 20)),
        (other("TIFF"), (40, 20)),
    ],
)
def test_header_gives_the_size_that_the_decoder_gives(file, expected):
    assert size(file) == expected == pixels(file).shape[1::-1]


WIDE = other("PNG")[:16] + b"\xff" * 4 + other("PNG")[20:]  # 2**32 - 1 pixels
NO_PICTURES = [b"\xff\xd8\xff", b"<html>", jpeg()[:20], b"\xff\xd8\xff\xe0\0\0" * 9, b"\x89PNG", WIDE]
NO_PICTURES += [other("PNG")[:length] for length in (16, 20, 23, 24, 33)]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("file", NO_PICTURES, ids=map(str, range(len(NO_PICTURES))))
def test_a_picture_whose_header_cannot_be_read_is_named_or_dropped(tmp_path, file, place):
    images = [picture(1), picture(2)]
    images[place] = file
    broken = make_row(1, image_base64_str=[base64.b64encode(image).decode() for image in images])
    write_rows(tmp_path / "repo/data/vqa/mine/train.jsonl", [make_row(0), broken])
    with pytest.raises(ShardError, match="train.jsonl:2: expected an image, found"):
        release(str(tmp_path / "repo"), tmp_path / "out")
    proof = release(str(tmp_path / "repo"), tmp_path / "dropped", on_error="drop")["splits"]["mine/train"]
    assert (proof["rows_out"], proof["drops"]) == (1, {"image cannot be read": 1})


def test_a_digest_is_of_config_split_id_texts_and_image_files():
    """Made here from its definition, with nothing of the code's but sorting left out."""
    row = {"instruction": "i", "inputs": "ä", "outputs": "o"}
    said = '["viquae", "train", "row-1", "i", "ä", "o", ["aa", "bb"]]'
    one = row_digest("viquae", "train", "row-1", row, ["aa", "bb"])
    assert one == hashlib.sha256(said.encode("utf-8")).digest()
    two = row_digest("viquae", "train", "row-2", row, [])
    assert (
        split_digest([two, one])
        == split_digest([one, two])
        == hashlib.sha256(min(one, two) + max(one, two)).hexdigest()
    )


def test_a_file_that_changes_while_it_is_read_ends_the_release(source, tmp_path):
    shutil.copytree(source, tmp_path / "repo")

    def progress(items, description, total):  # called when all is planned and nothing is read
        write_rows(tmp_path / "repo/data/kvqa/viquae/test.jsonl", [make_row(i) for i in range(510, 513)])
        return items

    with pytest.raises(ShardError, match=r"test.jsonl: changed while it was read"):
        release(str(tmp_path / "repo"), tmp_path / "out", ["viquae"], progress=progress)
