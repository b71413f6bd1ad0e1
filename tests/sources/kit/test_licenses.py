"""m3it/sources/kit/licenses.py: what sources say of a picture's license and author."""

import json
import re

import pytest
from conftest import ROOT

from m3it.sources.kit.files import SourcePath
from m3it.sources.kit.licenses import FLICKR, coco_credit, coco_credits, credit
from m3it.sources.viquae import commons_page

SAMPLE = ROOT.parent / "shared/sources/samples/coco-goi/instances_val2017.json"


def test_a_picture_of_coco_has_its_license_and_the_page_of_its_author():
    image = {"license": 3, "flickr_url": "http://farm8.staticflickr.com/7287/8742228785_3bfdd0a8a3_z.jpg"}
    page = "https://www.flickr.com/photo.gne?id=8742228785"
    assert coco_credit(image) == {"image_license": "CC-BY-NC-ND-2.0", "image_attribution": [page]}
    other = {"license": 11, "flickr_url": "http://example.com/a.jpg"}
    assert coco_credit(other) == {
        "image_license": "Flickr license 11",
        "image_attribution": ["http://example.com/a.jpg"],
    }
    assert coco_credit({"id": 1}) == {}


def test_several_pictures_have_all_of_their_licenses_each_once():
    said = credit(["CC-BY-NC-2.0", "CC-BY-2.0", "CC-BY-NC-2.0"], ["a", "b", "c"])
    assert said == {"image_license": "CC-BY-2.0 AND CC-BY-NC-2.0", "image_attribution": ["a", "b", "c"]}


def test_pictures_are_found_in_the_captions_else_in_the_instances_and_nothing_is_needed(tmp_path):
    assert coco_credits(SourcePath(tmp_path)) == {}
    (tmp_path / "annotations").mkdir()
    for name, license in (("captions_train2014", 4), ("instances_train2014", 1), ("instances_val2014", 5)):
        content = {"images": [{"id": license, "license": license, "flickr_url": "u"}], "annotations": []}
        (tmp_path / f"annotations/{name}.json").write_text(json.dumps(content), "utf-8")
    found = {number: said["image_license"] for number, said in coco_credits(SourcePath(tmp_path)).items()}
    assert found == {4: "CC-BY-2.0", 5: "CC-BY-SA-2.0"}


@pytest.mark.skipif(not SAMPLE.exists(), reason="the real sample of COCO is not here")
def test_coco_numbers_its_licenses_as_flickr_does():
    for license in json.loads(SAMPLE.read_text("utf-8"))["licenses"]:
        kind = re.search(r"licenses/([\w-]+)/", license["url"])
        spdx = f"CC-{kind[1].upper()}-2.0" if kind else license["name"]
        assert FLICKR[license["id"]].casefold() == {"united states government work": "us government work"}.get(
            spdx.casefold(), spdx.casefold()
        )


def test_a_picture_of_wikimedia_has_the_page_of_its_file():
    base = "http://upload.wikimedia.org/wikipedia/commons"
    page = "https://commons.wikimedia.org/wiki/File:Jackie_Wilson.png"
    assert commons_page(f"{base}/thumb/a/ae/Jackie_Wilson.png/512px-Jackie_Wilson.png") == page
    assert commons_page(f"{base}/a/ae/Jackie_Wilson.png") == page
    assert commons_page("http://example.com/a.png") == "http://example.com/a.png"
