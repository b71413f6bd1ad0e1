"""MSRVTT-QA: questions about the clips of MSR-VTT, made from their captions by program; the answer is one word.

Source files   https://github.com/xudejing/video-question-answering and
               https://data.mendeley.com/datasets/bvxhs33bw6
               root/{train,val,test}_qa.json, or in root/MSRVTT-QA
               clips of MSR-VTT: video0.mp4 to video9999.mp4 (also .avi, .webm, .mkv) in any folder of root
License        not stated; clips: YouTube terms per video, research only
Paper          https://doi.org/10.1145/3123266.3123427
One instance   inputs="what are three people sitting on?"  outputs="couch"  and 8 frames in order of time

M3IT kept one pair per video, drawn at random, which makes all videos of a split; we draw it by hash. The published
answers were later rewritten into sentences; these are the source's words.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # MSRVTT-QA's names for our splits
VIDEOS = (".mp4", ".avi", ".webm", ".mkv")
FILES = (
    *(
        ByHand(
            f"{part}_qa.json",
            "https://data.mendeley.com/datasets/bvxhs33bw6",
            "no lasting address is known",
            (f"MSRVTT-QA/{part}_qa.json",),
        )
        for part in ("train", "val", "test")
    ),
    ByHand(
        "video/video*.mp4",
        "https://github.com/ArrowLuo/CLIP4Clip",
        "the page of MSR-VTT is gone; this one says where copies are",
        ("*video*.mp4", "*video*.avi", "*video*.webm", "*video*.mkv"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per video of the split, in the order of their first pairs."""
    part = PART[split]
    pairs_by_video: dict[int, list[dict]] = {}
    for pair in read_json(root.first(f"{part}_qa.json", f"MSRVTT-QA/{part}_qa.json")):
        pairs_by_video.setdefault(pair["video_id"], []).append(pair)
    clips = root.named(VIDEOS, lambda path: path.stem)
    for video_id, pairs in pairs_by_video.items():
        (pair,) = sample(pairs, 1, "msrvtt-qa", "id")
        clip = clips.get(
            f"video{video_id}", root / "video" / f"video{video_id}.mp4"
        )  # a number here, "video6513" in MSR-VTT
        yield Instance(
            id=str(pair["id"]),
            inputs=text(pair["question"]),
            images=[Clip(clip)],
            outputs=text(pair["answer"]),
            meta={"split": part, "video_id": video_id, "video": clip.name, "category_id": pair["category_id"]},
        )
