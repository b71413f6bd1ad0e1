"""ActivityNet-QA: questions about the long YouTube videos of ActivityNet, asked and answered by people.

Source files   https://github.com/MILVLG/activitynet-qa: root/dataset/{train,val,test}_{q,a}.json, or directly in root
               videos of ActivityNet 200 v1.3 in any folder of root: v_<video_name>.mp4, .mkv, .webm or .avi; "v_" may
               lack
License        LICENSE says Apache-2.0, README says MIT for non-commercial use only; videos: YouTube terms per video
Paper          https://arxiv.org/abs/1906.02467
One instance   inputs="what is the person in the video doing"  outputs="diving"  and 8 frames in order of time

M3IT kept one of the ten pairs of each video, drawn at random, which is all videos of a split; we draw it by hash.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand, github
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # ActivityNet-QA's names for our splits
TYPES = ("motion", "spatial", "temporal", "yes/no", "colour", "object", "location", "number", "other")
VIDEOS = (".mp4", ".mkv", ".webm", ".avi")
FILES = (
    *github(
        "MILVLG/activitynet-qa",
        "2cf80aeb4e45955e53404e1716d3b9c0b1cbd72f",
        *(f"dataset/{part}_{kind}.json" for part in ("train", "val", "test") for kind in "qa"),
    ),
    ByHand(
        "videos/v_*.mp4",
        "https://github.com/MILVLG/activitynet-qa",
        "on request from ActivityNet, or from YouTube",
        ("*.mp4", "*.mkv", "*.webm", "*.avi"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per video of the split, in the order of their first questions."""
    part = PART[split]
    questions = read_json(root.first(f"dataset/{part}_q.json", f"{part}_q.json"))
    answers = {a["question_id"]: a for a in read_json(root.first(f"dataset/{part}_a.json", f"{part}_a.json"))}
    questions_by_video: dict[str, list[dict]] = {}
    for question in questions:  # sorted by their text, not by video
        questions_by_video.setdefault(question["video_name"], []).append(question)
    videos = root.named(VIDEOS, lambda path: path.stem[-11:])
    for video_name, asked in questions_by_video.items():
        answered = [question for question in asked if question["question_id"] in answers]
        if not answered:
            yield Drop(asked[0]["question_id"], "no answers")
            continue
        (question,) = sample(answered, 1, "activitynet-qa", "question_id")
        answer = answers[question["question_id"]]
        video = videos.get(video_name, root / "videos" / f"v_{video_name}.mp4")
        yield Instance(
            id=question["question_id"],
            inputs=text(question["question"]),
            images=[Clip(video)],
            outputs=text(answer["answer"]),
            meta={"split": part, "video_name": video_name, "video": video.name, "type": TYPES[answer["type"]]},
        )
