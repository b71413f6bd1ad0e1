"""docs/formats.md: each of its programs runs as it stands, where what it imports is installed."""

import re

import pytest
from conftest import ROOT

from m3it.publishing.release import release

PROGRAMS = re.findall(r"```python\n(.*?)```", (ROOT / "docs/formats.md").read_text("utf-8"), re.DOTALL)
PACKAGES = {"litdata": "polars", "streaming": "streaming", "lance": "lance", "inspect_ai": "inspect_ai"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_program_of_the_page_runs_as_it_stands(package, tmp_path, monkeypatch, capsys):
    for needed in (package, PACKAGES[package]):
        pytest.importorskip(needed, reason=f"{needed} is not installed")
    (program,) = (text for text in PROGRAMS if re.search(rf"^(import|from) {package}\b", text, re.MULTILINE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    release(str(ROOT), "release", ["viquae"])
    exec(compile(program, "docs/formats.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()


def test_the_converter_of_the_page_makes_shards_of_another_set(tmp_path):
    from m3it.making.convert import convert
    from m3it.reading.load import load_dataset

    (program,) = (text for text in PROGRAMS if "def convert" in text)
    (tmp_path / "my_set.py").write_text(program, "utf-8")
    release(str(ROOT), tmp_path / "llava", ["nlvr"], format="llava")
    converter = f"{tmp_path / 'my_set.py'}:convert"
    with open(tmp_path / "llava/nlvr/train.jsonl", "a", encoding="utf-8") as file:
        file.write('{"conversations": 1}\n')
    run = convert("my-set", tmp_path / "llava/nlvr", tmp_path / "out", ["train"], converter=converter, task="vqa")
    assert [made["drops"] for made in run["files"].values()] == [{"cannot be read": 1}]
    known = load_dataset(str(ROOT), "nlvr", split="train", meta=True, cache_dir=str(tmp_path / "cache"))
    found = load_dataset(str(tmp_path / "out"), "my-set", split="train", meta=True, cache_dir=str(tmp_path / "cache"))
    columns = ["instruction", "inputs", "image_base64_str", "outputs"]
    assert sorted(map(str, found.select_columns(columns))) == sorted(map(str, known.select_columns(columns)))
