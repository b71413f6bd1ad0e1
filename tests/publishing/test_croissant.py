"""m3it/publishing/croissant.py: what croissant.json says, and what mlcroissant reads by it.

mlcroissant is no dependency of ours: pip install mlcroissant pyarrow pillow
"""

import hashlib
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import make_row, write_rows

from M3IT import CATALOGUE
from m3it.publishing.croissant import column_field, croissant, in_lines
from m3it.publishing.release import release


def read(folder):
    return json.loads((folder / "croissant.json").read_text("utf-8"))


def test_a_record_set_for_each_config_says_its_rows_terms_and_origin(made):
    told = read(made[0])
    sets = {record_set["@id"]: record_set for record_set in told["recordSet"]}
    names = [f"{name}-images" for name in ("okvqa-zh", "science-qa", "viquae", "nlvr")]
    assert list(sets) == ["splits", *names, "text"]
    nlvr = sets["nlvr-images"]
    assert nlvr["description"] == "Rows: 5 validation."
    assert [term["name"] for term in nlvr["usageInfo"]] == ["annotations: CC-BY-4.0", "pictures: not licensed"]
    assert nlvr["usageInfo"][0]["url"] == "https://spdx.org/licenses/CC-BY-4.0" and "url" not in nlvr["usageInfo"][1]
    known = CATALOGUE["nlvr"]
    assert nlvr["prov:wasDerivedFrom"] == [{"@id": known.homepage}, {"@id": known.paper}]
    assert sets["okvqa-zh-images"]["usageInfo"] and "usageInfo" not in sets["text"]
    assert told["version"] == f"1.0.0+{made[1]['digest'][:16]}"
    assert told["inLanguage"] == ["en", "zh"] and "https://spdx.org/licenses/CC-BY-4.0" in told["license"]
    assert told["conformsTo"][0].endswith("/1.1") and sum(key.startswith("rai:") for key in told) == 8


def test_every_file_but_the_base64_twins_is_in_one_set_of_files(made):
    folder, taken = made[0], []
    for files in read(folder)["distribution"]:
        for pattern in files["includes"]:
            taken += [str(path.relative_to(folder)) for path in folder.glob(pattern)]
    there = {str(path.relative_to(folder)) for path in folder.glob("data/**/*.parquet")}
    assert len(taken) == len(set(taken))
    assert set(taken) == {path for path in there if "-images/" in path or path.startswith("data/text/")}


@pytest.mark.parametrize(
    ("options", "sets"),
    [
        ({"images": "native"}, ["nlvr", "text"]),
        ({"images": "base64"}, ["nlvr", "text"]),
        ({"format": "messages"}, ["nlvr"]),
        ({"format": "jsonl"}, ["nlvr"]),
    ],
)
def test_releases_of_every_kind_have_one(source, tmp_path, options, sets):
    release(str(source), tmp_path / "out", ["nlvr"], **options)
    told = read(tmp_path / "out")
    assert [record_set["@id"] for record_set in told["recordSet"][1:]] == sets
    kinds = {"jsonl": "application/jsonlines"}
    assert told["distribution"][0]["encodingFormat"] == kinds.get(options.get("format"), "application/x-parquet")


def test_a_dataset_of_ones_own_is_not_said_to_be_made_as_m3it_is(tmp_path):
    write_rows(tmp_path / "repo/data/vqa/mine/train.jsonl", [make_row(i) for i in range(3)])
    release(str(tmp_path / "repo"), tmp_path / "out")
    told = read(tmp_path / "out")
    assert not {"citeAs", "creator", "rai:dataCollection"} & set(told) and told["license"] == ["unknown"]
    terms = [term["name"] for term in told["recordSet"][1]["usageInfo"]]
    assert terms == ["annotations: unknown", "pictures: unknown"]


def test_files_that_are_no_tables_are_not_described():
    config = {"schema": pa.schema({"a": pa.string()}), "splits": {"train": {"paths": ["data/a.tar"], "rows": 1}}}
    assert croissant({"a": config}, {}, 1, "0" * 64) == {}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (pa.string(), {"dataType": "sc:Text"}),
        (pa.int32(), {"dataType": "sc:Integer"}),
        (pa.list_(pa.string()), {"dataType": "sc:Text", "isArray": True}),
        (pa.list_(pa.struct({"bytes": pa.binary(), "path": pa.string()})), {"dataType": "sc:ImageObject"}),
    ],
)
def test_a_column_has_its_type(kind, told):
    field = column_field("mine", pa.field("a", kind))
    assert field["@id"] == "mine/a" and field["source"]["extract"] == {"column": "a"}
    assert field.items() >= told.items()


def test_a_column_of_structs_has_its_parts_and_an_unknown_one_is_left_out():
    field = column_field("mine", pa.field("prompt", pa.list_(pa.struct({"role": pa.string()}))))
    assert [part["@id"] for part in field["subField"]] == ["mine/prompt/role"]
    assert column_field("mine", pa.field("a", pa.duration("s"))) is None


def test_short_values_are_on_one_line_and_all_is_json():
    value = {"a": [{"b": 1}, {"c": "ä" * 300}], "d": {}}
    assert json.loads(in_lines(value)) == value
    assert in_lines({"a": {"b": [1, 2]}}) == '{\n "a": {"b": [1, 2]}\n}'


def test_mlcroissant_reads_rows_and_pictures(source, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed")
    out = tmp_path / "out"
    release(str(source), out, shard_bytes=30_000)
    dataset = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors and not issues.warnings, issues.report()
    for record_set in read(out)["recordSet"][1:]:
        name = record_set["@id"]
        there = {}
        for pattern in next(f for f in read(out)["distribution"] if f["@id"] == f"files/{name}")["includes"]:
            for path in sorted(out.glob(pattern)):
                split = path.name.partition("-")[0].removesuffix(".parquet")
                there |= {(split, row["row_id"]): row for row in pq.read_table(path).to_pylist()}
        found = list(dataset.records(name))
        assert len(found) == len(there)
        for row in found:
            row = {key.removeprefix(f"{name}/"): value for key, value in row.items()}
            expected = there[row["split"].decode(), row["row_id"].decode()]
            assert [row[key].decode() for key in ("inputs", "outputs", "license")] == [
                expected[key] for key in ("inputs", "outputs", "license")
            ]
            if name != "text":
                assert [hashlib.sha256(bytes_of(image)).hexdigest() for image in row["images"]] == [
                    digest.decode() for digest in row["image_sha256"]
                ]
    few = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    filters = {"viquae-images/split": "test"}
    assert [row["viquae-images/row_id"] for row in few.records("viquae-images", filters)] == [
        row["row_id"].encode() for row in pq.read_table(out / "data/kvqa/viquae-images/test.parquet").to_pylist()
    ]


def bytes_of(image):
    """The bytes of the file that a picture was opened from."""
    assert isinstance(image.fp, io.BytesIO)
    return image.fp.getvalue()
