"""The pictures and clips of rows: image files as they are, reduced or with boxes drawn on them, and frames of videos.

In: a `Picture` or a `Clip`, which converters put into `Instance.images`.  Out: the bytes of image files, read when the
row is written, so that a converter runs through a split at the speed of its annotations.
"""

import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from m3it.rows.images import ImageError, encode, pixels, reduce, size
from m3it.rows.instance import M3ITError
from m3it.sources.kit.files import SourcePath
from m3it.work.extras import install

NUM_FRAMES = 8  # of a clip; the published rows' number is stated nowhere we could read
FAR_SECONDS = 10.0  # key frames are seldom farther apart, so that decoding on costs no more than to seek

# Marks that a person tells apart and can name; regions get them in this order.
COLOURS = {
    "red": (230, 25, 75), "green": (60, 180, 75), "blue": (0, 90, 230), "yellow": (255, 225, 25),
    "orange": (245, 130, 48), "purple": (145, 30, 180), "cyan": (70, 240, 240), "magenta": (240, 50, 230),
    "brown": (154, 99, 36), "white": (255, 255, 255),
}  # fmt: skip


class Unreadable(M3ITError):
    """A picture or clip that cannot become part of a row; `str` is the reason that drops are counted by."""


def refuse_outside(path: SourcePath) -> None:
    """Unreadable if annotations name a file that is not below the root: it may be a private one."""
    if path.is_outside:
        raise Unreadable("file outside of the source")


class Box(NamedTuple):
    """A region of a picture in pixels, drawn as a coloured frame around it."""

    left: float
    top: float
    right: float
    bottom: float
    colour: str = "red"


@dataclass(frozen=True)
class Picture:
    """An image file as part of a row: its own bytes, or reduced to a stated side, or with boxes drawn on it.

    Anything that does not open as an image (missing, empty, an HTML page) is `Unreadable`; the pixels themselves are
    not decoded unless drawn on.
    """

    path: SourcePath
    boxes: tuple[Box, ...] = ()
    max_side_pixels: int | None = None

    def read(self) -> list[bytes]:
        """One image file."""
        refuse_outside(self.path)
        image = self.path.read_if_there()
        if image is None:
            raise Unreadable("missing image")
        try:
            if min(size(image)) < 2:  # what some sites give for a picture that they have lost
                raise Unreadable("image of one pixel")
            if self.boxes:
                image = draw_boxes(image, self.boxes)
            return [reduce(image, self.max_side_pixels) if self.max_side_pixels else image]
        except ImageError as error:
            raise Unreadable("unreadable image") from error


def draw_boxes(image: bytes, boxes: Iterable[Box]) -> bytes:
    """The picture, upright, as a JPEG file (quality 95) with the frames drawn on it.

    A frame lies outside its region and hides nothing of it, except where the region touches the picture's edge.
    """
    from PIL import Image, ImageDraw

    canvas = Image.fromarray(pixels(image))
    pen = ImageDraw.Draw(canvas)
    width = max(2, round(max(canvas.size) / 200))
    for box in boxes:
        (left, right), (top, bottom) = sorted((box.left, box.right)), sorted((box.top, box.bottom))
        corner = (math.floor(left) - width, math.floor(top) - width)
        opposite = (math.ceil(right) - 1 + width, math.ceil(bottom) - 1 + width)
        inside = [
            tuple(min(max(x, 0), side - 1) for x, side in zip(point, canvas.size, strict=True))
            for point in (corner, opposite)
        ]
        pen.rectangle(inside, outline=COLOURS[box.colour], width=width)
    return encode(canvas)


@dataclass(frozen=True)
class Clip:
    """A video file as part of a row: evenly spaced frames, each a JPEG file; of a part of it where start and end
    (seconds) are given."""

    path: SourcePath
    num_frames: int = NUM_FRAMES
    start_seconds: float = 0.0
    end_seconds: float | None = None

    def read(self) -> list[bytes]:
        """`num_frames` image files in order of time: the middle of each of as many equal stretches."""
        refuse_outside(self.path)
        if not self.path.exists():
            raise Unreadable("missing clip")
        local = self.path.local()
        video = str(local) if local else self.path.read_bytes()
        return frames(video, self.num_frames, self.start_seconds, self.end_seconds)


def frames(
    video: str | bytes, num_frames: int = NUM_FRAMES, start: float = 0.0, end: float | None = None
) -> list[bytes]:
    """Evenly spaced frames of a video file as JPEG files.

    Where they lie far apart it seeks, so that an hour costs no more than minutes.
    Unreadable: no video in it, a broken stream, or fewer frames than asked for.
    """
    try:
        import av
    except ImportError as error:
        raise M3ITError(f"Reading clips needs PyAV: {install('video')}") from error
    try:
        with av.open(io.BytesIO(video) if isinstance(video, bytes) else video, metadata_errors="replace") as container:
            if not container.streams.video:
                raise Unreadable("clip without video")
            length = _length(container)
            step = (min(end or length, length) - start) / num_frames
            if step * float(container.streams.video[0].average_rate or 1) < 0.99:  # 1.0: each frame once
                raise Unreadable("clip too short")
            return [encode(frame.to_image()) for frame in _frames_at(container, start, step, num_frames)]
    except (av.FFmpegError, StopIteration) as error:
        raise Unreadable("broken clip") from error


def _length(container: Any) -> float:
    """Seconds of video: as the file says, else where its last frame stands."""
    stream = container.streams.video[0]
    if stream.duration:
        return float(stream.duration * stream.time_base)
    if container.duration:
        return container.duration / 1_000_000
    return max((frame.time for frame in container.decode(stream)), default=0.0)


def _frames_at(container: Any, start: float, step: float, num_frames: int) -> list[Any]:
    """The frame shown in the middle of each step: decoded on from the one before, or, where it is far, from the key
    frame before it."""
    stream = container.streams.video[0]
    first = start + float((stream.start_time or 0) * stream.time_base)
    shown: list[Any] = []
    for time in (first + step * (i + 0.5) for i in range(num_frames)):
        if not shown or time - shown[-1].time > FAR_SECONDS:
            container.seek(int(time / stream.time_base), stream=stream)
            decoded = container.decode(stream)
            frame = following = next(decoded)
        while following and following.time <= time:
            frame, following = following, next(decoded, None)
        if not following and time - frame.time > max(step, 1.0):
            raise Unreadable("broken clip")  # it ends long before the length that it states
        shown.append(frame)
    return shown
