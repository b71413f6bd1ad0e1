"""ChineseFoodNet: photographs of dishes, 208 classes, named in Chinese.

Source files   https://sites.google.com/view/chinesefoodnet, unpacked in `root` or root/ChineseFoodNet
               class_names.xlsx (index, Chinese name, English name; no header) or a CSV of it
               release_data/test_truth_list.txt; images: release_data/test/*
License        not stated
Paper          https://arxiv.org/abs/1705.02743
One instance   inputs="选项：\\n(A) 春卷\\n(B) 炒饭\\n..."  outputs="(B) 炒饭"

Which 1,100 images M3IT took, of the official validation or test, and how many options it gave, is not known: we draw
from the labelled test list by hash, and give ten options, as the name of its folder (chinesefoodnet-10) suggests.
"""

import csv
import io
import xml.etree.ElementTree
import zipfile
from collections.abc import Iterator

from M3IT import CATALOGUE
from m3it.rows.instance import Drop, Instance, SourceError, shuffled, text
from m3it.sources.kit.downloads import ByHand
from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.media import Picture
from m3it.sources.kit.options import lettered, option, sample
from m3it.sources.kit.texts import read_lines

NUM_OPTIONS = 10
FOLDERS = ("", "ChineseFoodNet/")
TABLES = ("class_names.xlsx", "class_names.csv")
XLSX = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_BY_HAND = "https://sites.google.com/view/chinesefoodnet", "on a net disk that needs an account"
FILES = (
    ByHand("class_names.xlsx", *_BY_HAND, ("*class_names.csv", "*class_names.xlsx")),
    ByHand("release_data/test_truth_list.txt", *_BY_HAND, ("*release_data/test_truth_list.txt",)),
    ByHand("release_data/test/*.jpg", *_BY_HAND, ("*release_data/test/*",)),
)


def convert(root: SourcePath, split: str) -> Iterator[Instance | Drop]:
    """Yield one Instance per image of a sample of the test list, in file order."""
    table = root.first(*(f"{folder}{name}" for name in TABLES for folder in FOLDERS))
    rows = read_xlsx(table) if table.name.endswith(".xlsx") else read_table(table)
    names = {int(float(index)): text(chinese) for index, chinese, *_ in rows}  # English names are not unique
    truth = root.first(*(f"{folder}release_data/test_truth_list.txt" for folder in FOLDERS))
    images = root / truth.path.replace("test_truth_list.txt", "test")
    pairs = (line.rsplit(" ", 1) for line in read_lines(truth) if line.strip())
    lines = [{"path": path, "label": label} for path, label in pairs]
    for line in sample(lines, getattr(CATALOGUE["chinese-food"], split), "chinese-food", "path"):
        row_id, name = line["path"], names.get(int(line["label"]))
        if name is None:
            yield Drop(row_id, "unknown class")
            continue
        others = [other for other in names.values() if other != name]
        wrong = shuffled(others, "chinese-food", row_id)[: NUM_OPTIONS - 1]
        options = shuffled([name, *wrong], "chinese-food", row_id)
        yield Instance(
            id=row_id,
            inputs=f"选项：\n{lettered(options)}",
            images=[Picture(images / line["path"])],
            outputs=option(options, name),
            meta={"split": "test", "image": line["path"], "class": int(line["label"])},
        )


def read_table(path: SourcePath) -> list[list[str]]:
    """The rows of a CSV export, which is in GB 18030 as a Chinese spreadsheet program writes it, or in UTF-8."""
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return [row for row in csv.reader(io.StringIO(content.decode(encoding), newline="")) if row]
        except UnicodeDecodeError:
            continue
    raise SourceError(f"{path}: expected a table in UTF-8 or GB 18030. Export class_names.xlsx again.")


def read_xlsx(path: SourcePath) -> list[list[str]]:
    """The rows of the first sheet of a workbook, each with its filled cells as text."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as book:
        shared = []
        if "xl/sharedStrings.xml" in book.namelist():
            shared = list(map(all_text, xml.etree.ElementTree.fromstring(book.read("xl/sharedStrings.xml"))))
        sheet = xml.etree.ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    rows = [[cell for cell in row.findall(f"{XLSX}c") if len(cell)] for row in sheet.iter(f"{XLSX}row")]
    return [[shared[int(all_text(c))] if c.get("t") == "s" else all_text(c) for c in row] for row in rows if row]


def all_text(element: xml.etree.ElementTree.Element) -> str:
    """The text of a string or cell, in one or more styled parts, without how a word is read aloud (rPh)."""
    aloud = {t for reading in element.iter(f"{XLSX}rPh") for t in reading.iter()}
    return "".join(t.text or "" for t in element.iter() if t.tag in (f"{XLSX}t", f"{XLSX}v") and t not in aloud)
