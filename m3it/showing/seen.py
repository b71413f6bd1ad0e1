"""The page of what a model sees: each row's prompt as the chat template renders it, token by token, and its pictures as
they are after the processor; of packed rows each sequence, and its mask as a picture.

In: rows of a config, and the processor of a model; its weights are not needed.  Out: one HTML file that opens offline;
seen.html is its markup.
"""

import base64
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from M3IT import id_of, image_bytes
from m3it.rows.instance import M3ITError
from m3it.showing.page import load_template
from m3it.work.extras import install
from m3it.work.folder import write_text

if TYPE_CHECKING:
    from PIL import Image

    from m3it.models.seen import Seen

LEAST_PIXELS = 96  # of the shorter side of a picture on the page: smaller ones are enlarged, pixel by pixel
VISIBLE = str.maketrans({"\n": "⏎\n", "\t": "⇥\t", "\r": "␍"})


def write_page(
    model: str,
    config: str,
    rows: Sequence[dict[str, Any]],
    path: Path | str,
    max_length: int | None = None,
    pack: bool = False,
    share_pictures: bool = False,
) -> None:
    """Write the page about the rows of a config, with `meta`, as a model that is trained on them sees them."""
    try:
        from m3it.models.collator import Collator
        from m3it.models.loading import load_processor
    except ImportError as error:
        raise M3ITError(f"What a model sees is shown with PyTorch: {install('train')}") from error
    given = [
        {**row, "dataset": config, "id": id_of(row), "images": image_bytes(row), "meta": json.loads(row["meta"])}
        for row in rows
    ]
    collator = Collator(load_processor(model), max_length, pack=pack, share_pictures=share_pictures)
    rows_seen = collator.padded().explain(given)
    sequences = collator.explain(given) if collator.pack and given else []
    shown = {"rows": list(map(_shown, rows_seen)), "sequences": list(map(_shown, sequences))}
    write_text(Path(path), load_template("seen.html").render(model=model, config=config, **shown))


def _shown(seen: "Seen") -> dict[str, Any]:
    """A row, or a sequence, as the template shows it."""
    pieces = [(piece.kind, piece.text.translate(VISIBLE), piece.num_tokens) for piece in seen.pieces]
    pictures = [(*picture.size, _file(picture)) for picture in seen.pictures]
    return {
        "id": seen.id,
        "pieces": pieces,
        "cut": seen.cut,
        "pictures": pictures,
        "mask": _file(seen.mask) if seen.mask else "",
        "num_tokens": seen.num_tokens,
        "num_learned": seen.num_learned,
        "batch_length": seen.batch_length,
    }


def _file(picture: "Image.Image") -> str:
    """The picture as a PNG file in base64: what the model gets has no more colours than that, and no fewer."""
    scale = -(-LEAST_PIXELS // min(picture.size))
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), 0)  # nearest: no pixel is made up
    file = BytesIO()
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()
