"""Pictures, and altered copies of some of them: what the search for near pictures is measured on.

`pictures` gives real ones (PyPI's easy-vqa; tiles of the photographs that installed packages ship; the sample in data/)
and drawn ones (scenes.py); `plant` alters some in nine ways. Everything is drawn from a seed. Pictures of one source (a
photograph, a clip) are all in the same half: limits are chosen on half 0, and results reported on half 1.
"""

import base64
import hashlib
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib import util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import ROOT, write_rows
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from scenes import draw, scene

from m3it.curating.source_ids import source_ids

PACKAGES = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
    "gradio": "media_assets",
}
ONE_OF_TWO = "motorcycle_right"  # shows what motorcycle_left shows, from beside
TILE = 160


class Picture(NamedTuple):
    """A picture and where it is from: easy-vqa, photograph, sample or drawn. Those of one `source` are parts of one
    photograph or clip, or have one name at the source."""

    source: str
    family: str
    file: bytes

    @property
    def half(self) -> int:
        """0 or 1, by a hash of the source."""
        return hashlib.sha256(self.source.encode()).digest()[0] % 2


def encoded(image: Image.Image, format: str = "JPEG", quality: int = 90) -> bytes:
    """The image as a file."""
    data = io.BytesIO()
    image.save(data, format, **({"quality": quality} if format == "JPEG" else {}))
    return data.getvalue()


# ---- pictures


def pictures(count: int) -> list[Picture]:
    """So many pictures: all real ones that there are, then drawn ones."""
    found = [*easy_vqa(), *photographs(), *sample()][:count]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        return [*found, *processes.map(drawn, range(count - len(found)), chunksize=100)]


def drawn(number: int) -> Picture:
    """A drawn scene of two to five things."""
    return Picture(f"drawn-{number}", "drawn", encoded(draw(scene(f"planted {number}")), quality=85))


def package(name: str) -> Path | None:
    """The folder of an installed package, not imported."""
    spec = util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def easy_vqa() -> Iterator[Picture]:
    """The 5,000 pictures of easy-vqa: one plain shape each."""
    folder = package("easy_vqa")
    for path in sorted(folder.glob("data/*/images/*.png")) if folder else ():
        yield Picture(f"{path.parent.parent.name}-{path.stem}", "easy-vqa", path.read_bytes())


def photographs() -> Iterator[Picture]:
    """Tiles of the photographs in installed packages, none of which overlap."""
    for name, below in PACKAGES.items():
        folder = package(name)
        for path in sorted((folder / below).rglob("*")) if folder else ():
            if path.suffix.lower() in (".png", ".jpg", ".jpeg") and ONE_OF_TWO not in path.name:
                image = Image.open(path).convert("RGB")
                for x in range(0, image.width - TILE + 1, TILE):
                    for y in range(0, image.height - TILE + 1, TILE):
                        tile = image.crop((x, y, x + TILE, y + TILE))
                        yield Picture(path.name, "photograph", encoded(tile))


def sample() -> Iterator[Picture]:
    """The pictures of data/, each once."""
    seen: set[str] = set()
    for path in sorted(ROOT.glob("data/*/*/*.jsonl")):
        for line in path.read_text("utf-8").splitlines() if path.stem != "drops" else ():
            row = json.loads(line)
            meta, texts = json.loads(row["meta"]), row["image_base64_str"]
            for text, source in zip(texts, source_ids(path.parent.name, meta, len(texts)), strict=True):
                if text not in seen:
                    seen.add(text)
                    yield Picture(source or f"{path.parent.name}-{meta['id']}", "sample", base64.b64decode(text))


# ---- alterations


def crop(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Nine tenths of the width and of the height, somewhere."""
    width, height = round(0.9 * image.width), round(0.9 * image.height)
    left, top = int(random.integers(image.width - width + 1)), int(random.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def border(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A frame of 3 to 10 % of the shorter side, in one of three colours."""
    colour = ((0, 0, 0), (255, 255, 255), (128, 60, 60))[random.integers(3)]
    return ImageOps.expand(image, max(3, round(min(image.size) * random.uniform(0.03, 0.1))), fill=colour)


def caption_bar(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """White words on a black bar below the picture, an eighth of its height."""
    height = max(14, round(image.height * 0.12))
    barred = Image.new("RGB", (image.width, image.height + height))
    barred.paste(image, (0, 0))
    font = ImageFont.load_default(size=max(8, height * 0.6))
    ImageDraw.Draw(barred).text((6, image.height + 2), f"a caption, number {random.integers(1000)}", "white", font)
    return barred


def brightness(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """Darker or lighter by 30 %."""
    return ImageEnhance.Brightness(image).enhance((0.7, 1.3)[random.integers(2)])


KINDS = {
    "JPEG 30": lambda image, random: encoded(image, quality=30),
    "half size": lambda image, random: encoded(image.resize((image.width // 2, image.height // 2))),
    "crop 90 %": lambda image, random: encoded(crop(image, random)),
    "border": lambda image, random: encoded(border(image, random)),
    "grey": lambda image, random: encoded(image.convert("L")),
    "brightness": lambda image, random: encoded(brightness(image, random)),
    "caption bar": lambda image, random: encoded(caption_bar(image, random)),
    "flip": lambda image, random: encoded(ImageOps.mirror(image)),
    "PNG of JPEG": lambda image, random: encoded(image, "PNG"),
}


class Planted(NamedTuple):
    """A copy: the number of the picture it was made of, and how."""

    of: int
    kind: str
    file: bytes


def plant(all_pictures: list[Picture], num_exact: int, num_each: int, seed: int = 0) -> tuple[list[Planted], int]:
    """Exact copies, and so many of each kind, as many of each half, all of different pictures; and how many pictures
    were passed over because they show nothing (the empty ground that a clip begins with). None is of easy-vqa's, which
    are alike by themselves."""
    random = np.random.default_rng(seed)
    planted, num_empty = list[Planted](), 0
    for half in (0, 1):
        kinds = iter(["exact"] * (num_exact // 2) + list(KINDS) * (num_each // 2))
        others = [k for k, picture in enumerate(all_pictures) if picture.family != "easy-vqa" and picture.half == half]
        kind = next(kinds)
        for of in random.permutation(others).tolist():
            file = all_pictures[of].file
            image = ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")
            if is_empty(image):
                num_empty += 1
                continue
            planted.append(Planted(of, kind, file if kind == "exact" else KINDS[kind](image, random)))
            if not (kind := next(kinds, "")):
                break
    return planted, num_empty


def is_empty(image: Image.Image) -> bool:
    """Whether less than a hundredth of it is another shade than most of it, by 12 of 255."""
    gray = np.asarray(small(image).convert("L")).astype(int)
    return bool((np.abs(gray - np.median(gray)) > 12).mean() < 0.01)


def small(image: Image.Image) -> Image.Image:
    """The image in 64 x 64 pixels."""
    return image.resize((64, 64), Image.Resampling.BOX)


def alike(one: Picture, other: Picture) -> str:
    """Why two pictures count as the same though neither is a copy of the other: "one source"; "equal" if in 64 x 64
    pixels, one of them mirrored or not, they differ by less than 8 of 255 (the root of the mean square); else ""."""
    if one.source == other.source:
        return "one source"
    sides = [ImageOps.exif_transpose(Image.open(io.BytesIO(picture.file))).convert("RGB") for picture in (one, other)]
    ours, theirs = (np.asarray(small(side)).astype(float) for side in sides)
    return "equal" if min(((side - theirs) ** 2).mean() ** 0.5 for side in (ours, ours[:, ::-1])) < 8 else ""


def write_repository(folder: Path, all_pictures: list[Picture], planted: list[Planted]) -> Path:
    """A repository of one config: the pictures in train, the copies in test; the id of a row is its number."""
    for split, files in (("train", [p.file for p in all_pictures]), ("test", [p.file for p in planted])):
        rows = (
            {
                "instruction": "Answer.",
                "inputs": f"What is {split} {k}?",
                "image_base64_str": [base64.b64encode(file).decode()],
                "outputs": "a picture",
                "meta": json.dumps({"id": str(k)}),
            }
            for k, file in enumerate(files)
        )
        write_rows(folder / f"data/vqa/planted/{split}.jsonl", list(rows))
    return folder
