"""Pictures, and altered copies of some of them: what the search for near pictures is measured on.

`pictures` gives real ones (PyPI's easy-vqa; tiles of the photographs that installed packages ship; the sample in data/)
and drawn ones (scenes.py); `plant` alters some in nine ways. Everything is drawn from a seed.
"""

import base64
import io
import json
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from conftest import ROOT, write_rows
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps
from scenes import draw, scene

PACKAGES = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
    "gradio": "media_assets",
}
ONE_OF_TWO = "motorcycle_right"  # shows what motorcycle_left shows, from beside
TILE = 160


class Picture(NamedTuple):
    """A picture and where it is from: easy-vqa, photograph, sample or drawn."""

    id: str
    family: str
    file: bytes


def encoded(image: Image.Image, format: str = "JPEG", quality: int = 90) -> bytes:
    """The image as a file."""
    data = io.BytesIO()
    image.save(data, format, **({"quality": quality} if format == "JPEG" else {}))
    return data.getvalue()


# ---- pictures


def pictures(count: int) -> list[Picture]:
    """So many pictures: all real ones that there are, then drawn ones."""
    found = [*easy_vqa(), *photographs(), *sample()][:count]
    drawn = (Picture(f"drawn-{k}", "drawn", encoded(draw(scene(f"planted {k}")), quality=85)) for k in range(count))
    return [*found, *(next(drawn) for _ in range(count - len(found)))]


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
                        yield Picture(f"{path.name}-{x}-{y}", "photograph", encoded(tile))


def sample() -> Iterator[Picture]:
    """The pictures of data/, each once."""
    seen: set[str] = set()
    for path in sorted(ROOT.glob("data/*/*/*.jsonl")):
        for line in path.read_text("utf-8").splitlines() if path.stem != "drops" else ():
            row = json.loads(line)
            for k, text in enumerate(row["image_base64_str"]):
                if text not in seen:
                    seen.add(text)
                    yield Picture(
                        f"{path.parent.name}-{json.loads(row['meta'])['id']}-{k}", "sample", base64.b64decode(text)
                    )


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


def plant(all_pictures: list[Picture], num_exact: int, num_each: int, seed: int = 0) -> list[Planted]:
    """Exact copies, and so many of each kind, all of different pictures; none of easy-vqa's, which are alike by
    themselves."""
    random = np.random.default_rng(seed)
    others = [k for k, picture in enumerate(all_pictures) if picture.family != "easy-vqa"]
    chosen = random.permutation(others)[: num_exact + num_each * len(KINDS)].tolist()
    kinds = ["exact"] * num_exact + list(KINDS) * num_each
    planted = []
    for of, kind in zip(chosen, kinds, strict=True):
        file = all_pictures[of].file
        image = Image.open(io.BytesIO(file)).convert("RGB")
        planted.append(Planted(of, kind, file if kind == "exact" else KINDS[kind](image, random)))
    return planted


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
