"""VIST, stories in sequence: five photographs of one album, told as a story of five sentences.

Source files   http://visionandlanguage.net/VIST/dataset.html: SIS-with-labels.tar.gz in `root`, or unpacked
               root/sis/{train,val,test}.story-in-sequence.json; photographs, some .png or .gif:
               root/images/{train,val,test}/<photo id>.jpg, from {train_split.*,val_images,test_images}.tar.gz
License        annotations unknown; photographs: Flickr terms per image
Paper          https://arxiv.org/abs/1604.03968
One instance   inputs=""  outputs="First we saw a dog. Then ..."  (five images, five sentences, in the worker's order)

M3IT's inputs were not seen; ours are empty, and the album's title stands in meta. We take `original_text`, the
sentences as their writers typed them. A story with a photograph missing is left out as a whole, before 5,000 of train's
are drawn; M3IT has 86 % of the validation and test stories, most likely for the same reason. The photographs are
originals of many megapixels: their longer side is reduced to 1024 pixels.
"""

from collections.abc import Iterator
from typing import Any

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, text
from m3it.sources.kit.downloads import ByHand, File
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import credit, flickr_license
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import sample
from m3it.sources.kit.texts import read_json

PART = {"train": "train", "validation": "val", "test": "test"}  # VIST's names for our splits
MAX_SIDE_PIXELS = 1024
NUM_PHOTOS = 5
EXTENSIONS = (".jpg", ".png", ".gif", ".jpeg", ".JPG")
_SITE = "https://visionandlanguage.net/VIST"
_ARCHIVES = {"train": "train_split.*.tar.gz", "val": "val_images.tar.gz", "test": "test_images.tar.gz"}
FILES = (
    File(
        "SIS-with-labels.tar.gz",
        f"{_SITE}/json_files/story-in-sequence/SIS-with-labels.tar.gz",
        23_000_000,
        instead=("*.story-in-sequence.json",),
    ),
    *(
        ByHand(f"images/{name}", f"{_SITE}/dataset.html", "on Google Drive", (name, f"*{part}/*.*"))
        for part, name in _ARCHIVES.items()
    ),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per story, in file order of their first sentences, after the drops; train is a sample."""
    part = PART[split]
    source = read_json(root.first(f"sis/{part}.story-in-sequence.json", f"{part}.story-in-sequence.json"))
    albums = {album["id"]: album for album in source["albums"]}
    licenses = {photo["id"]: flickr_license(photo["license"]) for photo in source["images"] if "license" in photo}
    stories: list[dict[str, Any]] = []
    for story_id, sentences in group_by_story(source["annotations"]).items():
        photos = [find_photo(root, part, sentence["photo_flickr_id"]) for sentence in sentences]
        if [sentence["worker_arranged_photo_order"] for sentence in sentences] != list(range(NUM_PHOTOS)):
            yield Drop(story_id, "not five sentences")
        elif not all(photo.exists() for photo in photos):
            yield Drop(story_id, "missing image")
        else:
            stories.append({"id": story_id, "sentences": sentences, "photos": photos})
    if split == "train":
        stories = sample(stories, CATALOGUE["vist"].train, "vist", "id")
    for story in stories:
        first = story["sentences"][0]
        yield Instance(
            id=story["id"],
            inputs="",
            images=[Picture(photo, max_side_pixels=MAX_SIDE_PIXELS) for photo in story["photos"]],
            outputs=" ".join(text(" ".join(sentence["original_text"].split())) for sentence in story["sentences"]),
            meta={
                "split": part,
                "images": [photo.name for photo in story["photos"]],
                "album_id": first["album_id"],
                "album_title": albums.get(first["album_id"], {}).get("title", ""),
                "setting": first["setting"],
                **credit_photos(story["sentences"], albums, licenses),
            },
        )


def credit_photos(
    sentences: list[dict[str, Any]], albums: dict[str, dict[str, Any]], licenses: dict[str, str]
) -> dict[str, Any]:
    """The license and the page on Flickr of each photograph; nothing where one is not known."""
    ids = [sentence["photo_flickr_id"] for sentence in sentences]
    owners = [albums.get(sentence["album_id"], {}).get("owner") for sentence in sentences]
    if not all(photo_id in licenses for photo_id in ids) or not all(owners):
        return {}
    pages = (f"https://www.flickr.com/photos/{owner}/{photo_id}" for owner, photo_id in zip(owners, ids, strict=True))
    return credit([licenses[photo_id] for photo_id in ids], pages)


def group_by_story(annotations: list[list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The sentences of each story as its worker arranged the photographs, which need not be their order in time."""
    stories: dict[str, list[dict[str, Any]]] = {}
    for (sentence,) in annotations:  # each annotation is a list of one
        stories.setdefault(sentence["story_id"], []).append(sentence)
    return {key: sorted(group, key=lambda s: s["worker_arranged_photo_order"]) for key, group in stories.items()}


def find_photo(root: SourcePath, part: str, photo_id: str) -> SourcePath:
    """The photograph of that id, whatever its extension."""
    folders = (f"images/{part}", part)
    return root.either(*(f"{folder}/{photo_id}{extension}" for extension in EXTENSIONS for folder in folders))
