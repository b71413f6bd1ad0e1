"""croissant.json of a release: what is in it and under which terms, in Croissant 1.1, which mlcroissant and data
search engines read.

In: the configs of a release as they were measured, and what is known of their datasets. Out: JSON-LD. A record set is
a config, with the terms and the origin of its dataset; base64 twins of configs with pictures are left out.
Specification: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html of 2026-01-29; the fields `rai:` are of
https://docs.mlcommons.org/croissant/docs/croissant-rai-spec.html.
"""

import json
import posixpath
import re
from typing import Any

import pyarrow as pa

from M3IT import CATALOGUE, CITATION
from m3it.publishing.card_yaml import SPLIT_ORDER, spelling
from m3it.publishing.columns import TERMS

Json = dict[str, Any]

HOME = "https://huggingface.co/datasets/MMInstruction/M3IT"
PUBLISHED = "2023-06-07"  # of M3IT's paper, which the citation names
ENCODINGS = {".parquet": "application/x-parquet", ".jsonl": "application/jsonlines"}
SPDX = re.compile(r"(Apache|MIT|CC|BSD)[\w.-]*")  # of the licenses that CATALOGUE has
LINE = 240  # letters: what fits is written on one line
OF_ALL = " Of all datasets, without pictures: see `license` and `image_license`."
OWN_TERMS = [
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract", "field"),
    *("fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key"),
    *("md5", "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("sdVersion", "separator", "source", "subField", "transform"),
]
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{term: f"cr:{term}" for term in OWN_TERMS},
}
RAI = {
    "rai:dataCollection": "Converted from the published files of existing datasets, which each record set names under "
    "prov:wasDerivedFrom. No picture and no answer was collected anew.",
    "rai:dataCollectionType": "Secondary Data Analysis",
    "rai:dataAnnotationProtocol": "Questions and answers are those of the sources' annotators. The instructions, about "
    "ten for each dataset, were written by the authors of M3IT. Some short answers were rewritten into sentences by a "
    "language model.",
    "rai:dataPreprocessingProtocol": "Image files are byte for byte those of the source. Rows that were left out are "
    "counted, by reason, in run.json.",
    "rai:dataUseCases": "Instruction tuning of vision-language models, and their evaluation.",
    "rai:dataLimitations": "Rows of translated configs are machine translations. Pictures of COCO occur in several "
    "datasets, and may be training data in one and test data in another.",
    "rai:dataBiases": "Most pictures come from Flickr and most questions from English-speaking crowd workers: other "
    "places, people and languages are rarer.",
    "rai:personalSensitiveInformation": "Pictures show people, and some rows name persons of public life.",
}


def croissant(configs: dict[str, Json], about: dict[str, dict[str, str]], num_rows: int, digest: str) -> dict[str, str]:
    """croissant.json and its text; nothing where no file is one of a table. `configs` and `about` are those of
    `release_card.release_card`, `digest` is that of all rows, which tells one version from the next."""
    described = {
        name: config
        for name, config in configs.items()
        if f"{name}-images" not in configs and ending_of(config) in ENCODINGS
    }
    if not described:
        return {}
    known = {name: about.get(name) or about.get(name.removesuffix("-images"), {}) for name in described}
    datasets = {entry["dataset"] for entry in about.values()}
    of_m3it = any(name in CATALOGUE for name in datasets)
    told = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": "M3IT",
        "description": f"{num_rows:,} rows of {len(datasets)} vision-language datasets: an instruction, inputs, "
        "pictures, outputs. Files are found beside this one. LICENSES.md counts the rows by license.",
        "url": HOME,
        "version": f"1.0.0+{digest[:16]}",
        **({"citeAs": CITATION, "datePublished": PUBLISHED, "creator": creator()} if of_m3it else {}),
        "license": sorted({link_of(entry[name]) for entry in about.values() for name in TERMS}),
        "inLanguage": sorted({entry["language"] for entry in about.values()}),
        "prov:wasGeneratedBy": {"@type": "prov:Activity", "prov:label": "m3it release: see run.json"},
        **(RAI if of_m3it else {}),
        "distribution": [file_set(name, config) for name, config in described.items()],
        "recordSet": [splits_set(), *(record_set(name, config, known[name]) for name, config in described.items())],
    }
    return {"croissant.json": in_lines(told) + "\n"}


def creator() -> Json:
    """Who has made M3IT."""
    return {"@type": "sc:Organization", "name": "MMInstruction", "url": "https://huggingface.co/MMInstruction"}


def ending_of(config: Json) -> str:
    """The ending of the files of a config."""
    return posixpath.splitext(next(iter(config["splits"].values()))["paths"][0])[1]


def link_of(license: str) -> str:
    """The page of a license; the source's own words, where it has none."""
    return f"https://spdx.org/licenses/{license}" if SPDX.fullmatch(license) else license


def file_set(name: str, config: Json) -> Json:
    """The files of a config: patterns, since a split may have hundreds; run.json has the sha256 of each."""
    splits = [made["paths"][0] for made in config["splits"].values()]
    patterns = [re.sub(r"-\d{5}-of-\d{5}(?=\.\w+$)", "-*", path) for path in splits]
    return {
        "@type": "cr:FileSet",
        "@id": f"files/{name}",
        "encodingFormat": ENCODINGS[ending_of(config)],
        "includes": patterns,
    }


def splits_set() -> Json:
    """The splits that files may belong to."""
    kinds = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": name, "splits/url": kind} for name, kind in kinds.items()],
    }


def record_set(name: str, config: Json, known: dict[str, str]) -> Json:
    """A config: its columns, and the terms and the origin of its dataset."""
    rows = ", ".join(f"{made['rows']:,} {split}" for split, made in config["splits"].items())
    dataset = CATALOGUE.get(known.get("dataset", ""))
    said = {what: known[name] for name, what in zip(TERMS, ("annotations", "pictures"), strict=True) if known}
    terms = [
        {"@type": "DefinedTerm", "name": f"{what}: {license}", "url": link_of(license)}
        if SPDX.fullmatch(license)
        else {"@type": "DefinedTerm", "name": f"{what}: {license}"}
        for what, license in said.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "description": f"Rows: {rows}." + ("" if known else OF_ALL),
        **({"usageInfo": terms} if terms else {}),
        **({"prov:wasDerivedFrom": [{"@id": dataset.homepage}, {"@id": dataset.paper}]} if dataset else {}),
        "field": [split_field(name), *filter(None, (column_field(name, field) for field in config["schema"]))],
    }


def split_field(name: str) -> Json:
    """The split of a row, by the name of its file: in the terms that mlcroissant can filter by."""
    by_name = rf"^({'|'.join(SPLIT_ORDER)}).*$"
    return {
        "@type": "cr:Field",
        "@id": f"{name}/split",
        "dataType": "sc:Text",
        "source": {
            "fileSet": {"@id": f"files/{name}"},
            "extract": {"fileProperty": "filename"},
            "transform": {"regex": by_name},
        },
        "references": {"field": {"@id": "splits/name"}},
    }


def column_field(name: str, column: pa.Field) -> Json | None:
    """A column; None for one of a type that Croissant has no word for."""
    source: Json = {"fileSet": {"@id": f"files/{name}"}, "extract": {"column": column.name}}
    told = {"@type": "cr:Field", "@id": f"{name}/{column.name}"}
    many = {"isArray": True, "arrayShape": "-1", "repeated": True}  # the last is what mlcroissant 1.1 reads pictures by
    kind = spelling(column.type)
    if kind == "list: image":
        picture = {**source, "transform": {"jsonPath": "bytes"}}
        return {**told, "dataType": "sc:ImageObject", **many, "source": picture}
    if pa.types.is_list(column.type) and pa.types.is_struct(column.type.value_type):
        parts = [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}/{part.name}",
                "dataType": "sc:Text",
                "source": {**source, "transform": {"jsonPath": part.name}},
            }
            for part in column.type.value_type
        ]
        return {**told, **many, "subField": parts}
    kinds = {"string": "sc:Text", "int32": "sc:Integer", "int64": "sc:Integer"}
    if (plain := kinds.get(kind.removeprefix("list: "))) is None:
        return None
    return {**told, "dataType": plain, **(many if kind.startswith("list: ") else {}), "source": source}


def in_lines(value: Any, depth: int = 0) -> str:
    """JSON with what is short on one line, so that a column is a line."""
    text = json.dumps(value, ensure_ascii=False)
    if depth and (len(text) + depth <= LINE or not isinstance(value, (dict, list))):
        return text
    inner = " " * (depth + 1)
    if isinstance(value, dict):
        lines = [f"{inner}{json.dumps(key)}: {in_lines(part, depth + 1)}" for key, part in value.items()]
    else:
        lines = [inner + in_lines(part, depth + 1) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return "\n".join([opening, ",\n".join(lines), " " * depth + closing])
