"""MSVD-QA: questions about the clips of MSVD, made from their captions by program; the answer is one word.

Source files   https://github.com/xudejing/video-question-answering and
               https://data.mendeley.com/datasets/h5j7cpwnvn
               root/{train,val,test}_qa.json, or in root/MSVD-QA
               clips: vid1.avi to vid1970.avi (also .mp4, .webm, .mkv) in any folder of root, or, with
               youtube_mapping.txt, under MSVD's own names: YouTubeClips/<YouTube id>_<start>_<end>.avi
License        not stated; clips: YouTube terms per video
Paper          https://doi.org/10.1145/3123266.3123427
One instance   inputs="what does a woman slice?"  outputs="onion"  and 8 frames in order of time

M3IT kept one pair per video, drawn at random, which makes all videos of a split that have one (1,161, 245 and 504 of
1,200, 250 and 520); we draw it by hash. The published answers were later rewritten into sentences; these are the
source's words.
"""

from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json, read_lines

PART = {"train": "train", "validation": "val", "test": "test"}  # MSVD-QA's names for our splits
VIDEOS = (".avi", ".mp4", ".webm", ".mkv")
MAPPINGS = ("youtube_mapping.txt", "MSVD-QA/youtube_mapping.txt")
_CLIPS = tuple(f"*{ending}" for ending in VIDEOS)
FILES = (
    *(
        ByHand(
            f"{part}_qa.json",
            "https://data.mendeley.com/datasets/h5j7cpwnvn",
            "no lasting address is known",
            (f"MSVD-QA/{part}_qa.json",),
        )
        for part in ("train", "val", "test")
    ),
    ByHand(
        "video/vid*.avi", "https://github.com/xudejing/video-question-answering", "no lasting address is known", _CLIPS
    ),
    ByHand(
        "youtube_mapping.txt",
        "https://github.com/yaoli/arctic-capgen-vid",
        "needed only for clips under their YouTube names; no lasting address is known",
        ("MSVD-QA/youtube_mapping.txt", "*vid1.avi"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per video of the split, in the order of their first pairs."""
    part = PART[split]
    pairs_by_video: dict[int, list[dict]] = {}
    for pair in read_json(root.first(f"{part}_qa.json", f"MSVD-QA/{part}_qa.json")):
        pairs_by_video.setdefault(pair["video_id"], []).append(pair)
    clips = root.named(VIDEOS, lambda path: path.stem)
    youtube_names = read_mapping(root)
    for video_id, pairs in pairs_by_video.items():
        (pair,) = sample(pairs, 1, "msvd-qa", "id")
        names = [f"vid{video_id}", youtube_names.get(f"vid{video_id}", "")]
        clip_name = next((name for name in names if name in clips), names[0])
        clip = clips.get(clip_name, root / "video" / f"{clip_name}.avi")
        yield Instance(
            id=str(pair["id"]),
            inputs=text(pair["question"]),
            images=[Clip(clip)],
            outputs=text(pair["answer"]),
            meta={"split": part, "video_id": video_id, "video": clip.name},
        )


def read_mapping(root: SourcePath) -> dict[str, str]:
    """MSVD's name of each clip by its number, {"vid1": "-4wsuPCjDBc_5_15"}; empty where the file is not there."""
    mapping = next((root / name for name in MAPPINGS if (root / name).exists()), None)
    if mapping is None:
        return {}
    return {number: name for name, number in (line.rsplit(" ", 1) for line in read_lines(mapping))}
