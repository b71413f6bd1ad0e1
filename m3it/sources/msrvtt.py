"""MSR-VTT: captions of short video clips, twenty to a clip.

Source files   train_val_videodatainfo.json and test_videodatainfo.json of the challenge, in root or in its
               train_val_annotation and test_annotation; or MSRVTT_data.json, which is both, in msrvtt_data.zip of
               https://github.com/ArrowLuo/CLIP4Clip; for validation and test also MSRVTT_JSFUSION_test.csv from there
               clips: video0.mp4 to video9999.mp4 (also .avi, .webm, .mkv) in any folder of root
License        research only; clips: YouTube terms per video
Paper          https://doi.org/10.1109/CVPR.2016.571
One instance   inputs=""  outputs="a boy plays grand theft auto 5"  and 8 frames in order of time

M3IT says 7k/1k/1k videos with one caption each, and 2,000 of train. We take for train 2,000 of the 7,010 official
train and validate videos, for test the 1,000 of the JSFUSION list with its captions. Which 1,000 M3IT validates on
is not known: we take 1,000 of the other test videos.
"""

from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_csv, read_json

PARTS = {"train": ("train", "validate"), "validation": ("test",)}  # MSR-VTT's own splits behind ours
VIDEOS = (".mp4", ".avi", ".webm", ".mkv")
RECORDS = {
    "train": ("train_val_videodatainfo.json", "train_val_annotation/train_val_videodatainfo.json", "MSRVTT_data.json"),
    "validation": ("test_videodatainfo.json", "test_annotation/test_videodatainfo.json", "MSRVTT_data.json"),
}
FILES = (
    File(
        "msrvtt_data.zip",
        "https://github.com/ArrowLuo/CLIP4Clip/releases/download/v0.0/msrvtt_data.zip",
        instead=("*MSRVTT_data.json", "*MSRVTT_JSFUSION_test.csv", "*_videodatainfo.json"),
    ),
    ByHand(
        "videos/video*.mp4",
        "https://github.com/ArrowLuo/CLIP4Clip",
        "the authors' page is gone; this one says where copies are",
        ("*video*.mp4", "*video*.avi", "*video*.webm", "*video*.mkv"),
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per video of the split, in file order."""
    clips = root.named(VIDEOS, lambda path: path.stem)
    for row in read_test_list(root) if split == "test" else draw_captions(root, split):
        if isinstance(row, Drop):
            yield row
            continue
        clip = clips.get(row["video_id"], root / "videos" / f"{row['video_id']}.mp4")
        yield Instance(
            id=row["video_id"],
            inputs="",
            images=[Clip(clip)],
            outputs=text(row.pop("caption")),
            meta={**row, "video": clip.name},
        )


def read_test_list(root: SourcePath) -> Iterator[dict]:
    """The videos of the JSFUSION list, each with its one caption; the file is parted by commas or semicolons."""
    table = root.first("MSRVTT_JSFUSION_test.csv", "msrvtt_data/MSRVTT_JSFUSION_test.csv")
    for row in read_csv(table, ";" if ";" in table.read_text().partition("\n")[0] else ","):
        yield {"split": "test", "video_id": row["video_id"], "caption": row["sentence"], "key": row["key"]}


def draw_captions(root: SourcePath, split: str) -> Iterator[dict | Drop]:
    """A sample of the videos, each with one of its captions; those of the test list stay out."""
    records = read_json(root.first(*RECORDS[split], *(f"msrvtt_data/{name}" for name in RECORDS[split])))
    sentences_by_video: dict[str, list[dict]] = {}
    for sentence in records["sentences"]:  # not grouped by video
        sentences_by_video.setdefault(sentence["video_id"], []).append(sentence)
    taken = {row["video_id"] for row in read_test_list(root)} if split == "validation" else set()
    videos = [v for v in records["videos"] if v["split"] in PARTS[split] and v["video_id"] not in taken]
    for video in videos:
        if video["video_id"] not in sentences_by_video:
            yield Drop(video["video_id"], "no captions")
    captioned = [video for video in videos if video["video_id"] in sentences_by_video]
    for video in sample(captioned, getattr(CATALOGUE["msrvtt"], split), "msrvtt", "video_id"):
        (sentence,) = sample(sentences_by_video[video["video_id"]], 1, "msrvtt", "sen_id")
        yield {
            "split": video["split"],
            "video_id": video["video_id"],
            "caption": sentence["caption"],
            "sen_id": sentence["sen_id"],
            "category": video["category"],
            "url": video["url"],
        }
