"""ScienceQA: school questions of many subjects with choices, half of them with a picture, and the lesson behind them.

Source files   https://github.com/lupantech/ScienceQA, folder data/scienceqa: root/data/scienceqa/problems.json,
               .../pid_splits.json
               images: root/data/scienceqa/images/{train,val,test}/<problem id>/image.png, or train.zip, val.zip and
               test.zip there or in `root`
License        CC-BY-NC-SA-4.0, annotations and images
Paper          https://arxiv.org/abs/2209.09513
One instance   inputs="Which of these states is farthest north?\\nOptions:\\n(A) West Virginia\\n(B) Louisiana [...]"
               outputs="(A) West Virginia\\nMaps have four cardinal directions [...]"

M3IT's inputs hold the question, the hint and the options, its outputs the choice and the explanation; the exact words
are not known. We give the hint as "Context:", and the lecture and the solution below the choice. More than half of the
rows have no image.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import File, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import option, with_options
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # ScienceQA's names for our splits
FIELDS = ("task", "grade", "subject", "topic", "category", "skill", "lecture", "solution")  # kept in meta
_FOLDER = "data/scienceqa"
FILES = (
    *(
        file._replace(instead=(file.path.removeprefix(f"{_FOLDER}/"),))
        for file in github(
            "lupantech/ScienceQA",
            "2cbf8318e07b9ece895bb2ae605e71e38d623264",
            f"{_FOLDER}/problems.json",
            f"{_FOLDER}/pid_splits.json",
        )
    ),
    *(
        File(
            f"{_FOLDER}/images/{part}.zip",
            f"https://scienceqa.s3.us-west-1.amazonaws.com/images/{part}.zip",
            instead=(f"*{part}.zip", f"*{part}/*/image.png"),
        )
        for part in ("train", "val", "test")
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per problem of the split, in the order of the split file; half of them have no picture."""
    folder = root / "data/scienceqa" if (root / "data/scienceqa/problems.json").exists() else root
    problems = read_json(folder / "problems.json")
    for row_id in read_json(folder / "pid_splits.json")[PART[split]]:
        problem = problems.get(row_id)
        if problem is None:
            yield Drop(row_id, "no problem of this id")
            continue
        choices = [text(choice) for choice in problem["choices"]]
        hint = [f"Context: {text(problem['hint'])}"] if text(problem["hint"]) else []
        names = [f"{problem['split']}/{row_id}/{problem['image']}"] if problem["image"] else []
        parts = (option(choices, choices[problem["answer"]]), text(problem["lecture"]), text(problem["solution"]))
        yield Instance(
            id=row_id,
            inputs=with_options("\n".join([text(problem["question"]), *hint]), choices),
            images=[
                Picture(root.either(f"{folder.path}/images/{name}", f"{folder.path}/{name}", name)) for name in names
            ],
            outputs="\n".join(part for part in parts if part),
            meta={
                "split": problem["split"],
                "images": names,
                "answers": [problem["choices"][problem["answer"]]],
                **{field: problem[field] for field in FIELDS},
            },
        )
