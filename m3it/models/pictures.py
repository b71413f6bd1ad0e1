"""A row's pictures for a processor: decoded, no larger than it needs them, and how many tokens they take.

In: the files of pictures.  Out: PIL images of RGB; numbers of tokens.
"""

import hashlib
from typing import Any

from PIL import Image

from m3it.rows.images import pixels, size

ONE_SIZE = {f"{name}ImageProcessor" for name in ("CLIP", "Siglip", "Blip", "ViT")}  # each picture to one small size
KEPT_PICTURES = 16  # decoded, of those that rows share
TILE_TOKENS = 8  # no fewer than the marks around each tile of a picture that is cut into tiles


class Pictures:
    """Decodes pictures for a processor, and counts their tokens.

    max_side_pixels   larger images are reduced while they are decoded; if not given, to no less than twice the size
                      that the processor scales them to, where it does no more than that
    most              sizes of the images of a row -> tokens they take at most, as far as it is known
    """

    def __init__(self, processor: Any, max_side_pixels: int | None = None):
        self.processor, self.max_side_pixels = processor, max_side_pixels
        self.scaled_to = scaled_size(processor.image_processor)
        self.most: dict[tuple[tuple[int, int], ...], float] = {}
        self._decoded: dict[bytes, Image.Image] = {}  # the pictures shared last, by the digests of their files
        self._digested = (b"", hashlib.blake2b(b"", digest_size=16).digest())

    def digest(self, image: bytes) -> bytes:
        """What tells the file of a picture from others; of the file that came last it is known."""
        if image != self._digested[0]:
            self._digested = image, hashlib.blake2b(image, digest_size=16).digest()
        return self._digested[1]

    def decode(self, image: bytes, digest: bytes, row_id: str) -> Image.Image:
        """The image, in RGB; with a digest, once for rows that share it and come soon after each other."""
        if digest and digest in self._decoded:
            return self._decoded[digest]
        picture = Image.fromarray(pixels(image, row_id, self._most_pixels(image, row_id)))
        if digest:
            if len(self._decoded) >= KEPT_PICTURES:
                del self._decoded[next(iter(self._decoded))]
            self._decoded[digest] = picture
        return picture

    def _most_pixels(self, image: bytes, row_id: str) -> int | None:
        """The longer side at which an image is decoded, None for its own."""
        if self.max_side_pixels or not self.scaled_to:
            return self.max_side_pixels
        shorter, longer = sorted(size(image, row_id))
        return -(-2 * self.scaled_to * longer // shorter)

    def most_tokens(self, sizes: tuple[tuple[int, int], ...]) -> float:
        """No fewer tokens than images of these sizes take."""
        if sizes not in self.most:
            self.most[sizes] = self._count_tokens(sizes)
        return self.most[sizes]

    def _count_tokens(self, sizes: tuple[tuple[int, int], ...]) -> float:
        """What the processor says of images of these sizes; infinity where it cannot say: process a row and see."""
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if hasattr(self.processor, "qformer_tokenizer"):
            return self.processor.num_query_tokens * len(sizes)
        if count is None:
            return float("inf")
        try:
            counted = count(image_sizes=[(height, width) for width, height in sizes])
        except (ValueError, TypeError, ArithmeticError, AttributeError, KeyError):
            return float("inf")  # it refuses one of them, or counts otherwise than we know
        both = zip(counted["num_image_tokens"], counted["num_image_patches"], strict=True)
        return sum(tokens + (TILE_TOKENS * tiles if tiles < tokens else 0) for tokens, tiles in both)


def scaled_size(image_processor: Any) -> int | None:
    """The longer side of the one size that an image processor scales each picture to; None if the size depends on the
    picture, or larger ones are looked at, too."""
    name = type(image_processor).__name__.removesuffix("Pil").removesuffix("Fast")
    sides = {key: side for key, side in dict(getattr(image_processor, "size", None) or {}).items() if side}
    is_one = name in ONE_SIZE and image_processor.do_resize and set(sides) == {"height", "width"}
    return max(sides.values()) if is_one else None
