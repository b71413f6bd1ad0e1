"""m3it/sources/iqa.py: no reference picture is in two splits, whatever a database calls it."""

import pytest

from m3it.sources.iqa import convert, split_of
from m3it.sources.kit.files import SourcePath

SPLITS = ("train", "validation", "test")


def split(database, reference):
    return split_of({"database": database, "dis_img_path": f"{database}/a.bmp", "ref_img_path": reference})


def test_tid2008_and_tid2013_have_the_same_references_however_they_are_spelt():
    for number in range(1, 26):
        names = [
            ("TID2008", f"TID2008/reference_images/I{number:02d}.BMP"),
            ("TID2013", f"TID2013/reference_images/i{number:02d}.bmp"),
            ("TID2013", f"TID2013/ref/I{number:02d}.png"),
        ]
        assert len({split(*name) for name in names}) == 1
    assert {split("TID2008", f"I{number:02d}.BMP") for number in range(1, 26)} == set(SPLITS)


@pytest.mark.parametrize(
    ("live", "tid"),
    [("caps", [3]), ("parrots", [23]), ("plane", [20]), ("lighthouse2", [21]), ("sailing3", [6, 9, 10, 11]),
     ("ocean", [12, 16])],
)  # fmt: skip
def test_the_pictures_of_kodak_in_live_are_those_of_tid(live, tid):
    assert {split("LIVE", f"LIVE/refimgs/{live}.bmp")} == {split("TID2013", f"i{number:02d}.bmp") for number in tid}


def test_a_name_that_two_other_databases_share_is_two_pictures():
    """KADID-10k's I01 is not TID's; LIVE's woman is not CSIQ's: 81 and 30 groups of their own are drawn."""
    kadid = [split("KADID-10k", f"KADID-10k/images/I{number:02d}.png") for number in range(1, 26)]
    assert kadid != [split("TID2013", f"i{number:02d}.bmp") for number in range(1, 26)]


def test_no_reference_picture_is_in_two_splits_of_what_is_converted(tmp_path):
    header = "dis_img_path,dis_type,ref_img_path,score\n"
    for database, upper in (("TID2008", True), ("TID2013", False)):
        names = [f"i{number:02d}" for number in range(1, 26) for _ in range(4)]
        lines = [
            f"{database}/d/{i}.bmp,X,{database}/r/{name.upper() + '.BMP' if upper else name + '.bmp'},4\n"
            for i, name in enumerate(names)
        ]
        (tmp_path / f"{database}.txt").write_text(header + "".join(lines))
    references = [
        {row.meta["reference"].rpartition("/")[2].casefold() for row in convert(SourcePath(tmp_path), split)}
        for split in SPLITS
    ]
    assert sum(map(len, references)) == len(set.union(*references)) == 25
