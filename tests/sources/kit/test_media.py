"""m3it/sources/kit/media.py: pictures, boxes on them, frames of clips."""

import io

import numpy as np
import pytest
import scenes
from PIL import Image

from m3it.rows.images import pixels
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import COLOURS, Box, Clip, Picture, Unreadable, draw_boxes, frames

# ---- pictures

WHITE = scenes.encode(Image.new("RGB", (800, 600), "white"), 800, 600, "PNG")


def is_near(pixel, colour):
    return np.abs(pixel.astype(int) - COLOURS[colour]).max() < 60


@pytest.mark.parametrize("colour", [name for name in COLOURS if name != "white"])
def test_a_frame_is_drawn_around_its_region(colour):
    drawn = pixels(draw_boxes(WHITE, [Box(200, 100, 500, 400, colour)]))
    assert drawn.shape == (600, 800, 3)
    for row, column in ((98, 350), (402, 350), (250, 198), (250, 502)):  # above, below, left, right
        assert is_near(drawn[row, column], colour)
    assert (drawn[105:395, 205:495] > 245).all() and (drawn[:90] > 245).all() and (drawn[:, 515:] > 245).all()


def test_regions_beyond_the_edge_and_the_wrong_way_round_are_drawn():
    drawn = pixels(draw_boxes(WHITE, [Box(-50, -50, 900, 700, "blue"), Box(500.4, 400.2, 200.7, 100.9)]))
    assert is_near(drawn[1, 400], "blue") and is_near(drawn[598, 400], "blue") and is_near(drawn[300, 798], "blue")
    assert is_near(drawn[98, 350], "red") and is_near(drawn[250, 502], "red")


def test_boxes_are_drawn_on_the_upright_picture():
    turned = scenes.jpeg(scenes.scene("turned"), 240, 180, exif_orientation=6)  # stored lying, shown standing
    drawn = pixels(draw_boxes(turned, [Box(20, 20, 60, 60)]))
    assert drawn.shape == pixels(turned).shape
    assert is_near(drawn[40, 19], "red") and is_near(drawn[19, 40], "red")


def test_a_picture_keeps_its_bytes_unless_drawn_on_or_reduced(tmp_path):
    (tmp_path / "a.png").write_bytes(WHITE)
    path = SourcePath(tmp_path) / "a.png"
    assert Picture(path).read() == [WHITE] == Picture(path, max_side_pixels=800).read()
    assert pixels(*Picture(path, max_side_pixels=400).read()).shape == (300, 400, 3)
    assert is_near(pixels(*Picture(path, boxes=(Box(200, 100, 500, 400),)).read())[98, 350], "red")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing image"),
        (b"", "unreadable image"),
        (b"<html>404</html>", "unreadable image"),
        (WHITE[:20], "unreadable image"),
    ],
)
def test_a_picture_that_cannot_be_read_has_a_reason(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(Unreadable, match=f"^{reason}$"):
        Picture(SourcePath(tmp_path) / "a.png").read()


# ---- clips


def nearest_frames(files, record):
    """Which pictures of the clip the files show."""
    pictures = [np.asarray(scenes.frame(record, k), dtype=int) for k in range(record.num_frames)]
    return [int(np.argmin([np.abs(pixels(file) - picture).mean() for picture in pictures])) for file in files]


@pytest.mark.parametrize("ending", ["mp4", "webm", "avi"])
def test_frames_are_the_middles_of_equal_stretches_in_order_of_time(tmp_path, ending):
    record = scenes.clip(tmp_path / f"a.{ending}", "moves", "left to right", seconds=2, fps=8)
    clip = tmp_path / f"a.{ending}"
    assert nearest_frames(frames(str(clip)), record) == [1, 3, 5, 7, 9, 11, 13, 15]  # 16 pictures, 8 stretches of 2
    assert nearest_frames(frames(clip.read_bytes(), 4), record) == [2, 6, 10, 14]
    assert nearest_frames(frames(str(clip), 16), record) == list(range(16))


def test_a_part_of_a_clip_is_taken_where_its_times_are_given(tmp_path):
    record = scenes.clip(tmp_path / "a.mp4", "moves", "up", seconds=4, fps=8)
    clip = Clip(SourcePath(tmp_path) / "a.mp4", num_frames=4, start_seconds=1, end_seconds=3)
    assert nearest_frames(clip.read(), record) == [10, 14, 18, 22]  # pictures 8 to 23, stretches of 4
    rest = Clip(SourcePath(tmp_path) / "a.mp4", num_frames=2, start_seconds=3)
    assert nearest_frames(rest.read(), record) == [26, 30]
    beyond = Clip(SourcePath(tmp_path) / "a.mp4", num_frames=2, start_seconds=3, end_seconds=99)
    assert beyond.read() == rest.read()


def test_frames_of_the_same_clip_are_the_same_bytes(tmp_path):
    scenes.clip(tmp_path / "a.mp4", "moves", "grows")
    assert frames(str(tmp_path / "a.mp4")) == frames((tmp_path / "a.mp4").read_bytes())
    assert all(Image.open(io.BytesIO(file)).format == "JPEG" for file in frames(str(tmp_path / "a.mp4"), 2))


def test_clips_that_cannot_be_read_have_a_reason(tmp_path):
    scenes.clip(tmp_path / "a.mp4", "moves", "down", seconds=2, fps=8)
    whole = (tmp_path / "a.mp4").read_bytes()
    for content, reason in (
        (b"", "broken clip"),
        (b"<html>", "broken clip"),
        (whole[: len(whole) // 2], "broken clip"),
    ):
        with pytest.raises(Unreadable, match=f"^{reason}$"):
            frames(content)
    with pytest.raises(Unreadable, match="^clip too short$"):
        frames(whole, 17)
    with pytest.raises(Unreadable, match="^clip too short$"):
        frames(whole, 8, start=2.5)
    with pytest.raises(Unreadable, match="^missing clip$"):
        Clip(SourcePath(tmp_path) / "b.mp4").read()
