"""easy-vqa: questions about the colour and the shape of one drawn figure. A converter of your own looks like this.

Source files   PyPI's easy-vqa (MIT). `pip install easy-vqa` puts them into its folder data/: train/questions.json and
               test/questions.json, lists of [question, answer, picture], and beside each images/<picture>.png
One instance   inputs="what color is the shape?"  outputs="blue"
"""

from m3it.rows.instance import Instance
from m3it.sources.kit.media import Picture
from m3it.sources.kit.texts import read_json

INSTRUCTION = "Answer the question in one word."


def convert(root, split):
    """Yield one Instance per question of the split, in file order."""
    for number, (question, answer, picture) in enumerate(read_json(root / split / "questions.json")):
        yield Instance(
            id=f"{split}-{number}",
            inputs=question,
            images=[Picture(root / split / "images" / f"{picture}.png")],
            outputs=answer,
            instruction=INSTRUCTION,
            meta={"picture": picture},
        )
