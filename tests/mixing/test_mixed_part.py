"""Parts, opened: which builder reads them, what is refused at the opening, and how many rows may be dropped."""

import json
from pathlib import Path

import pytest
from conftest import make_row, write_rows
from mixtures import mix_of, take

from M3IT import ShardError
from m3it.catalogue import instructions
from m3it.mixing import mixed_part
from m3it.mixing.mixed_part import Access, open_parts, open_repository
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part
from m3it.mixing.selection import Selection


def test_a_folder_that_is_not_there_names_the_nearest(mixed):
    with pytest.raises(ValueError, match="Unknown config 'ai2'. Did you mean 'ai2d'"):
        Mixture(None, parts=[Part(str(mixed / "fine"), "ai2")]).describe()
    with pytest.raises(ValueError, match="Did you mean 'viquae'"):
        Mixture(mixed / "ours", ["viquea"]).describe()
    with pytest.raises(ValueError, match="gqa has no split 'test'; it has train"):
        Mixture(mixed / "ours", ["gqa"], split="test").describe()


def test_a_split_without_rows_and_a_name_twice_are_refused(mixed):
    write_rows(mixed / "ours/data/vqa/clevr/train.jsonl", [])
    with pytest.raises(ValueError, match="clevr: the split 'train' has no rows"):
        Mixture(mixed / "ours", ["clevr", "gqa"]).describe()
    with pytest.raises(ValueError, match="'ai2d' stands in the mixture twice"):
        mix_of(mixed, parts=[Part(str(mixed / "fine"), "ai2d")] * 2).describe()
    with pytest.raises(ValueError, match="'gqa' stands in the mixture twice. Name it once"):
        Mixture(mixed / "ours", ["gqa", "gqa"]).describe()


def test_too_many_drops_stop_with_the_reasons_and_the_list(spoiled):
    mixture = Mixture(spoiled / "jsonl", batch_size=4, on_error="drop", max_drops=2)
    with pytest.raises(ShardError, match=r"gqa: 3 rows cannot be read \(.*2 outputs is no string.*max_drops=2.*jsonl"):
        list(mixture.loader(num_workers=1, num_batches=10))
    manifest = Path(mixture.mixed_parts[0].builder.manifest)
    assert {json.loads(line)["reason"] for line in manifest.read_text().splitlines()} == {
        "outputs is no string",
        "image is not base64",
    }


def test_without_drops_a_bad_row_stops_with_file_and_line(spoiled):
    with pytest.raises(ShardError, match=r"train\.jsonl:(4|31): expected a string in outputs|row-17: expected.*base64"):
        take(Mixture(spoiled / "jsonl"), 40)


def test_rows_refused_before_settings_were_changed_are_not_counted(spoiled):
    def refuse(row):
        raise ShardError("too long", "too long")

    with pytest.raises(ShardError, match="3 rows cannot be read"):
        take(Mixture(spoiled / "good", on_error="drop", max_drops=2, transform=refuse), 40)
    mixture = Mixture(spoiled / "good", on_error="drop", max_drops=2)
    assert len(take(mixture, 40)) == 40 and mixture.drops() == {}


def test_a_single_file_is_a_repository_of_its_own(tmp_path):
    write_rows(tmp_path / "pairs.jsonl", [make_row(0)])
    write_rows(tmp_path / "others.jsonl", [make_row(1)])
    repository = open_repository(str(tmp_path / "pairs.jsonl"), None, Access())
    assert list(repository.files) == ["pairs.jsonl"]


def test_a_repository_is_listed_once_for_all_of_its_configs(mixed, monkeypatch):
    opened = []
    real = mixed_part.Repository
    monkeypatch.setattr(mixed_part, "Repository", lambda path, *rest: opened.append(path) or real(path, *rest))
    fine = Part(str(mixed / "fine"), "ai2d")
    whole = Part(str(mixed / "ours"))
    parts = open_parts([fine], whole, Selection(), Access())
    assert [part.name for part in parts] == ["ai2d", "coco", "gqa", "iqa", "viquae"]
    assert sorted(opened) == [str(mixed / "fine"), str(mixed / "ours")]


def test_a_translation_shares_the_choices_of_its_dataset_but_not_its_instructions(repository):
    write_rows(repository / "data/kvqa/okvqa/validation.jsonl", [make_row(0)])
    selection = Selection(configs=("okvqa", "okvqa-zh"))
    own, translation = open_parts([], Part(str(repository), split="validation"), selection, Access())
    assert own.dataset == translation.dataset == "okvqa"
    assert own.instructions == instructions("okvqa") and translation.instructions == ()


def test_a_fingerprint_tells_the_same_files_elsewhere_from_changed_ones(tmp_path):
    def fingerprint(folder, rows):
        write_rows(tmp_path / folder / "data/vqa/gqa/train.jsonl", rows)
        return open_parts([], Part(str(tmp_path / folder)), Selection(), Access())[0].fingerprint()

    one = fingerprint("here", [make_row(0)])
    assert fingerprint("there", [make_row(0)]) == one != fingerprint("changed", [make_row(0), make_row(1)])
