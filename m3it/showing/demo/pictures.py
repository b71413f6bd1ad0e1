"""Pictures that somebody adds: taken or refused, each with a sentence.

In: what the browser read of files, as base64.  Out: the files' bytes, as a row has them. No file is written.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from m3it.rows.images import ImageError, pixels, size
from m3it.rows.instance import M3ITError

MAX_PICTURES = 8  # of a question, as many as the frames of a video
MAX_BYTES = 20_000_000  # of the pictures that come at once: page.js refuses more before it sends them
MAX_MEGAPIXELS = 50  # of one: a phone's camera takes 12 to 50


def read_uploads(files: Iterable[Mapping[str, Any]], before: list[bytes]) -> tuple[list[bytes], list[str]]:
    """(all pictures, a sentence for each file that is refused). `files`: a name, and the base64 of what it holds, none
    of a file that was too large to be sent."""
    taken, refused = list(before), []
    for file in files:
        name = str(file.get("name") or "the pasted picture")[:80]
        try:
            if len(taken) == MAX_PICTURES:
                raise M3ITError(f"a question takes at most {MAX_PICTURES} pictures. Remove some first")
            taken.append(_checked(file.get("data")))
        except M3ITError as error:
            refused.append(f"{name}: {str(error).rstrip('.')}.")
    return taken, refused


def _checked(data: Any) -> bytes:
    """The file, decoded once to its last pixel: a part of a picture is none."""
    if not isinstance(data, str):
        raise M3ITError(f"expected at most {MAX_BYTES // 10**6} MB of pictures at once. Reduce it first")
    try:
        file = base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ImageError("expected base64 of the browser") from error
    if len(file) > MAX_BYTES:
        return _checked(None)
    width, height = size(file)
    if width * height > MAX_MEGAPIXELS * 10**6:
        raise M3ITError(f"expected at most {MAX_MEGAPIXELS} megapixels, found {width:,} x {height:,}. Reduce it first")
    pixels(file)
    return file
