"""iVQA: questions about clips of instructional videos, each answered by five people in up to four words.

Source files   https://antoyang.github.io/just-ask.html: root/{train,val,test}.csv, or in root/iVQA
               clips as released, in any folder of root: <YouTube id>_<start>_<end>.mp4 or <YouTube id>.mp4 (also .webm,
               .mkv, .avi), known by the first 11 characters of the name; cut whole videos to start..end first
License        not stated; clips: YouTube terms per video
Paper          https://arxiv.org/abs/2012.00451
One instance   inputs="What type of vegetable is being cut?"  outputs="onion"  and 8 frames in order of time

M3IT took the most frequent of the five answers, of several one at random; we draw it by hash. The published answers
were later rewritten into sentences; these are the source's words. Of 6,000 train clips M3IT had 5,994.
"""

from collections import Counter
from collections.abc import Iterator

from m3it.rows.instance import Drop, Instance, choose, text
from m3it.sources.kit.downloads import ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Clip
from m3it.sources.kit.texts import read_csv

PART = {"train": "train", "validation": "val", "test": "test"}  # iVQA's names for our splits
VIDEOS = (".mp4", ".webm", ".mkv", ".avi")
_PAGE = "https://antoyang.github.io/just-ask.html"
FILES = (
    *(ByHand(f"{part}.csv", _PAGE, "on Google Drive", (f"iVQA/{part}.csv",)) for part in ("train", "val", "test")),
    ByHand("video/*.mp4", _PAGE, "on request, or from YouTube", ("*.mp4", "*.webm", "*.mkv", "*.avi")),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per clip of the split, in file order."""
    part = PART[split]
    clips = root.named(VIDEOS, lambda path: path.name[:11])  # ids may hold "_" and "-"
    for row in read_csv(root.first(f"{part}.csv", f"iVQA/{part}.csv")):
        row_id, answers = row["video_id"], [text(row[f"answer{i}"]) for i in range(1, 6)]
        counts = Counter(answer for answer in answers if answer)  # "none" and "nan" are words here
        if not counts:
            yield Drop(row_id, "no answers")
            continue
        clip = clips.get(row_id, root / "video" / f"{row_id}.mp4")
        yield Instance(
            id=row_id,
            inputs=text(row["question"]),
            images=[Clip(clip)],
            outputs=choose([a for a in counts if counts[a] == max(counts.values())], "ivqa", row_id),
            meta={"split": part, "video": clip.name, "answers": answers},
        )
