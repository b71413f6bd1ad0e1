"""What stands beside the shards of a release: README.md with its YAML, dataset_infos.json, LICENSES.md, croissant.json.

Rendered from what was measured in its files (`release.describe_configs`) and what CATALOGUE says; nothing is typed.
"""

import json
from collections import Counter
from typing import Any

import pyarrow as pa

from M3IT import CATALOGUE
from m3it.catalogue import catalogue_order, why_not_commercial
from m3it.publishing.card_yaml import (
    CATEGORIES,
    SPLIT_ORDER,
    TEXT,
    complete_head,
    cut_head,
    read_readme,
    scalar,
    size_category,
    spelling,
)
from m3it.publishing.columns import TERMS
from m3it.publishing.configs import ReleaseConfig, digest_of_all
from m3it.publishing.croissant import croissant, link_of
from m3it.publishing.formats import FORMATS
from m3it.reading.ratings import RATINGS
from m3it.rows.instance import M3ITError
from m3it.work.folder import write_text

SNIPPET = """from {module} import load_dataset
from io import BytesIO
from base64 import b64decode
from PIL import Image


ds_name = "viquae"  # change the dataset name here
dataset = load_dataset("MMInstruction/M3IT", "viquae")

for train_instance in dataset['train']:
    instruction = train_instance["instruction"]  # str
    inputs = train_instance["inputs"]  # str
    outputs = train_instance["outputs"]  # str
    image_base64_str_list = train_instance["image_base64_str"]  # str (base64)
    image_0 = Image.open(BytesIO(b64decode(image_base64_str_list[0])))
"""
BODY = """# M3IT: Multi-Modal Multilingual Instruction Tuning

{rows:,} rows of {datasets} vision-language datasets, made by `m3it release`. [Paper](https://arxiv.org/abs/2306.04387)

{notes}{counted}

```python
{snippet}```

{pictures}## Configs

{table}

## Where it is from

`run.json` names the repository and the commit that was read, the versions, every file with its sha256, and for every
split the rows read, the rows written, what was left out and why, and a digest of the rows. Whoever has both can compare
them: `m3it check SOURCE --against THIS`. Image files are byte for byte those of the source.

## Licenses

Each row has the license of its annotations and that of its pictures. [LICENSES.md](LICENSES.md) counts the rows by
both, and names whom to credit.
"""
PICTURES = """A config with image files has columns to filter by: `task`, `dataset`, `language`, `license` (of the
annotations), `image_license`, `num_images`, `width` and `height` (of the first picture), `row_id`, `source_file`,
`image_attribution` (the pages that name the authors of the pictures), `image_sha256`, and `meta`, what the source
knew, as JSON; and each row as a conversation, `prompt` and `completion`, with `references`, what an answer is compared
with. The config `text` holds all rows without pictures: search in it, then fetch the pictures by `row_id`. The Hub's
search finds words in Latin letters alone; filter the others by `language`.{rated}

```python
dataset = load_dataset("MMInstruction/M3IT", "{config}", split="{split}", streaming=True)
```

## Which config for which trainer

| trainer | config | how |
|---|---|---|
| TRL (`sft_vlm.py`, `trl sft`) | `{config}` | `--dataset_name THIS --dataset_config {config}`; it learns the answers |
| ms-swift | `{config}` | `--columns '{{"instruction":"system","inputs":"query","outputs":"response"}}'` (1) |
{own}| LLaMA-Factory, nanoVLM | | `m3it release THIS --format messages --out OTHER` |
| LLaVA, Qwen-VL, InternVL | | `m3it release THIS --format llava --out OTHER` |
| webdataset, Energon | | `m3it release THIS --format webdataset --out OTHER` |
| `m3it train`, `m3it.Mixture` | all | as they are |

(1) `--dataset` names its files. Without `--columns` ms-swift trains on nothing, and says nothing.

"""
LICENSES = """# Licenses

The terms of each row, as the authors' pages and files state them: in the columns `license` (of the annotations) and
`image_license` (of the pictures; of several pictures all, joined by AND). `unknown` means that the authors do not say.

## Rows by license

| annotations | pictures | rows | commercial use |
|---|---|---:|---|
{rows}

## Notice

The rows were made of the datasets below. What was changed: texts were brought into one form and given instructions,
some answers were rewritten into sentences, some rows were translated. Where the source names the page of a picture, on
which its author is named, it is in the column `image_attribution`, or in `meta`. Keep these pages with the rows: the
CC licenses ask for it.

{credits}
"""
RATED = "\n`image_correspondence` and `relevance` are a model's ratings, 1 to 5, of the rows that have some."
OWN_ROWS = """| ms-swift's own entry for M3IT | `{config}` | `--dataset AI-ModelScope/M3IT:{config}`, under that id |
| programs written for M3IT | `{config}` | as they stand |
"""
NOTES = {
    "both": "Each dataset is here twice: `viquae` has the published four columns, with base64 strings; `viquae-images` "
    "has the same rows, in the same order and under the same file names, with image files and their row ids.",
    "native": "Pictures are stored as image files. The published columns, with base64 strings, are what "
    "`m3it.load_dataset` makes of them (`pip install m3it`): one line of the old programs changes.",
    "base64": "The published four columns, with base64 strings.",
    "jsonl": "JSON Lines with the published four columns and `meta`, a JSON string with the row id.",
}


def release_card(
    configs: dict[str, dict[str, Any]],
    about: dict[str, dict[str, str]],
    holds: str,
    num_rows: int,
    terms: Counter[tuple[str, str, str]],
    own_head: str | None = None,
) -> dict[str, str]:
    """README.md, dataset_infos.json and LICENSES.md of a release, and what a format has beside. `configs` is what
    `release.describe_configs` says, `about` what is known of each dataset, `holds` a name in NOTES or FORMATS,
    `terms` the rows by (dataset, license, image_license), `own_head` the head of the source's README.md: what its owner
    says there, such as a license, stays."""
    first = next((name for name, config in configs.items() if "images" in config["schema"].names), None)
    lines = ["| config | rows | " + " | ".join(SPLIT_ORDER) + " | pictures |", "|---|---:|---:|---:|---:|---|"]
    for name, config in configs.items():
        sizes = [config["splits"].get(split, {}).get("rows", 0) for split in SPLIT_ORDER]
        how = next((kind for kind in ("images", "image_base64_str") if kind in config["schema"].names), "")
        lines.append(f"| `{name}` | {sum(sizes):,} | " + " | ".join(f"{size:,}" for size in sizes) + f" | {how} |")
    listed = sum(made["rows"] for config in configs.values() for made in config["splits"].values())
    shown = first or next(iter(configs))
    split = next(iter(configs[shown]["splits"]))
    format = FORMATS.get(holds)
    has_configs = format is None or format.HAS_CONFIGS
    base64 = next((name for name, config in configs.items() if "image_base64_str" in config["schema"].names), "")
    own = OWN_ROWS.format(config=base64) if base64 else ""
    rated = RATED if {*RATINGS} <= {*configs[shown]["schema"].names} else ""
    snippet = format.SNIPPET if format else SNIPPET
    body = BODY.format(
        rows=num_rows,
        datasets=len({known["dataset"] for known in about.values()}),
        notes=format.NOTE if format else NOTES[holds],
        counted=f" The Hub adds up all configs, and says {listed:,} rows." if listed != num_rows else "",
        snippet=snippet.format(config=shown, split=split, module="m3it" if holds == "native" else "datasets"),
        pictures=PICTURES.format(config=first, split=split, own=own, rated=rated) if first and not format else "",
        table="\n".join(lines),
    )
    infos = json.dumps(release_infos(configs), indent=1, ensure_ascii=False) + "\n"
    return {
        "README.md": release_head(configs if has_configs else {}, about, shown, num_rows, own_head) + body,
        **({"dataset_infos.json": infos} if has_configs else {}),
        "LICENSES.md": licenses_text(terms),
        **(format.beside(configs) if format else {}),
    }


def write_card(
    out: str,
    configs: dict[str, Any],
    opened: list[ReleaseConfig],
    holds: str,
    splits: dict[str, Any],
    terms: Counter[tuple[str, str, str]],
) -> None:
    """Write what stands beside the shards; `splits` is what was proved of them, `terms` as above."""
    num_rows = sum(proof["rows_out"] for proof in splits.values())
    about = {config.name: config.about for config in opened}
    source = opened[0].builder.repository
    own_head, _ = cut_head(read_readme(source))
    try:
        files = release_card(configs, about, holds, num_rows, terms, own_head)
    except ValueError as error:
        advice = "Fix what stands between its two lines ---, or take it out."
        raise M3ITError(f"{source.path}/README.md: {error}. {advice}") from error
    files |= croissant(configs, about, num_rows, digest_of_all(splits))
    for name, content in files.items():
        write_text(f"{out}/{name}", content)


def release_head(
    configs: dict[str, dict[str, Any]],
    about: dict[str, dict[str, str]],
    first: str,
    num_rows: int,
    own_head: str | None = None,
) -> str:
    """The YAML of a release: for every config its files by name, its columns, its rows and bytes; `first` is what the
    viewer opens. What `own_head` says of all else stays, but `viewer`: a release is made to be shown."""
    languages = sorted({known["language"] for known in about.values()} - {"und"}) or ["en"]
    defaults = {"pretty_name": "pretty_name: M3IT\n", "license": "license: other\nlicense_name: per-dataset\n"}
    for key, values in (("language", map(scalar, languages)), ("task_categories", CATEGORIES)):
        defaults[key] = "\n- ".join([f"{key}:", *values]) + "\n"
    measured = {"size_categories": f"size_categories:\n- {size_category(num_rows)}\n", "viewer": ""}
    listed = {"configs": files_yaml(configs, first), "dataset_info": columns_yaml(configs)}
    measured |= listed if configs else dict.fromkeys(listed, "")  # where plain `datasets` reads no files as configs
    return f"---\n{complete_head(own_head, measured, defaults)}---\n"


def files_yaml(configs: dict[str, dict[str, Any]], first: str) -> str:
    """The lines of `configs` in the YAML of a release."""
    lines = ["configs:"]
    for name, config in configs.items():
        lines += [f"- config_name: {scalar(name)}", *(["  default: true"] if name == first else []), "  data_files:"]
        for split, made in config["splits"].items():
            lines += [f"  - split: {split}", "    path:", *(f"    - {scalar(path)}" for path in made["paths"])]
    return "\n".join([*lines, ""])


def columns_yaml(configs: dict[str, dict[str, Any]]) -> str:
    """The lines of `dataset_info` in the YAML of a release."""
    lines = ["dataset_info:"]
    for name, config in configs.items():
        lines += [f"- config_name: {scalar(name)}", "  features:"]
        for field in config["schema"]:
            kind = spelling(field.type)
            lines.append(f"  - {{name: {field.name}, {kind if ':' in kind else f'dtype: {kind}'}}}")
        lines.append("  splits:")
        for split, made in config["splits"].items():
            lines.append(f"  - {{name: {split}, num_bytes: {made['memory_bytes']}, num_examples: {made['rows']}}}")
        lines.append(f"  download_size: {sum(made['bytes'] for made in config['splits'].values())}")
        lines.append(f"  dataset_size: {sum(made['memory_bytes'] for made in config['splits'].values())}")
    return "\n".join([*lines, ""])


def release_infos(configs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """dataset_infos.json of a release."""
    values = {"list: string": {"feature": TEXT, "_type": "Sequence"}, "list: image": [{"_type": "Image"}]}
    for field in (field for config in configs.values() for field in config["schema"]):
        if pa.types.is_list(field.type) and (kind := spelling(field.type)) not in values:
            values[kind] = [{column.name: TEXT for column in field.type.value_type}]
    infos = {}
    for name, config in configs.items():
        kinds = {field.name: spelling(field.type) for field in config["schema"]}
        features = {column: values.get(kind) or {"dtype": kind, "_type": "Value"} for column, kind in kinds.items()}
        splits = {
            split: {
                "name": split,
                "num_bytes": made["memory_bytes"],
                "num_examples": made["rows"],
                "dataset_name": "m3it",
            }
            for split, made in config["splits"].items()
        }
        stored, size = (sum(made[what] for made in config["splits"].values()) for what in ("bytes", "memory_bytes"))
        sizes = {"download_size": stored, "dataset_size": size, "size_in_bytes": stored + size}
        infos[name] = {"features": features, "splits": splits, **sizes}
    return infos


def licenses_text(terms: Counter[tuple[str, str, str]]) -> str:
    """LICENSES.md: the rows of a release by their licenses, and for each of its datasets whom to credit."""
    classes = Counter[tuple[str, str]]()
    for (_, license, image_license), number in terms.items():
        classes[license, image_license] += number
    names = sorted({name for name, *_ in terms}, key=catalogue_order)
    rows = []
    for both, number in sorted(classes.items(), key=lambda item: (-item[1], item[0])):
        allowed = "" if why_not_commercial("", dict(zip(TERMS, both, strict=True))) else "yes"
        rows.append(f"| {' | '.join(both)} | {number:,} | {allowed} |")
    return LICENSES.format(rows="\n".join(rows), credits="\n".join(map(credit_line, names)))


def credit_line(dataset: str) -> str:
    """Whom to credit for a dataset: its authors, who are named in its paper, its page and its licenses."""
    known = CATALOGUE.get(dataset)
    if known is None:
        return f"- `{dataset}`: unknown to the catalogue of M3IT; ask those who made it."
    terms = [known.license, known.image_license]
    annotations, pictures = (f"[{name}]({url})" if (url := link_of(name)) != name else name for name in terms)
    said = f"annotations {annotations}, pictures {pictures}"
    return f"- `{dataset}`, by the authors of [its paper]({known.paper}), from [its page]({known.homepage}): {said}"
