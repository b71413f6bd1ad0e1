"""Mixtures: opened when needed, resumed exactly, the rows of load_dataset, drops that move no other row."""

import base64
import hashlib
import itertools
import json
import os
import pickle
from collections import Counter

import pytest
from conftest import make_row, write_rows
from mixtures import ids, mix_of, read_ranks, take, write_parquet

from M3IT import CATALOGUE, M3ITError, ShardError
from m3it.catalogue import instructions
from m3it.mixing.local_copies import Copies
from m3it.mixing.mixture import Mixture
from m3it.mixing.order import permuted, permuted_runs
from m3it.mixing.row_access import Grouped
from m3it.reading.load import load_dataset


def test_making_a_mixture_reads_nothing_and_prints_nothing(tmp_path, capfd):
    mixture = Mixture(tmp_path / "later", ["viquae"], weights="sqrt", batch_size=8)
    with pytest.raises(ShardError, match="later: expected a folder"):
        mixture.describe()
    write_rows(tmp_path / "later/data/kvqa/viquae/train.jsonl", [make_row(i) for i in range(3)])
    assert mixture.num_rows == 3 and mixture.weights == {"viquae": 1}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": 0}, "batch_size and instructions_per_dataset of 1 or more"),
        ({"instructions_per_dataset": 0}, "batch_size and instructions_per_dataset of 1 or more"),
        ({"on_error": "what"}, "on_error='what': expected 'raise' or 'drop'"),
        ({"weights": "siz"}, "weights='siz': expected 'size', 'sqrt'"),
        ({"weights": {"viquae": -1}}, "weights: expected numbers of 0 or more"),
        ({"license": "mit"}, "license='mit': expected None or 'commercial'"),
        ({"tasks": "vqq"}, "Unknown task 'vqq'. Did you mean 'vqa'"),
        ({"languages": ["xx"]}, "Unknown language 'xx'"),
        ({"parts": ["~/my/pairs.jsonl"]}, r"parts: expected Part\(path, ...\), found '~/my/pairs.jsonl'"),
    ],
)
def test_wrong_arguments_are_refused_at_the_call(wrong, words):
    with pytest.raises(ValueError, match=words):
        Mixture("nowhere", **wrong)


def test_a_mixture_travels_opened_and_without_the_rows_that_it_holds(mixed):
    mixture = mix_of(mixed)
    expected = take(mix_of(mixed), 40)
    copy = pickle.loads(pickle.dumps(mixture))
    assert "order" in vars(mixture) and "order" in vars(copy)
    assert take(mixture, 40) == expected and mixture._held
    assert not pickle.loads(pickle.dumps(mixture))._held
    (mixed / "ours").rename(mixed / "moved")  # a copy that had to list the files again would find none
    assert copy.describe() == mixture.describe()


def test_a_resume_reads_the_row_or_the_unit_that_it_needs_and_no_other(monkeypatch, mixed):
    mixture = mix_of(mixed)
    expected = take(mixture, 700)
    reads = []
    line, unit = Copies.read, Grouped.read
    monkeypatch.setattr(Copies, "read", lambda self, *piece: reads.append(piece) or line(self, *piece))
    monkeypatch.setattr(Grouped, "read", lambda self, number: reads.append(number) or unit(self, number))
    for position in range(0, 700, 50):
        reads.clear()
        assert ids([pickle.loads(pickle.dumps(mixture)).row(position)]) == [expected[position]]
        assert len(reads) == 1, position


def test_resume_at_any_position_of_forty_datasets_reads_one_row(monkeypatch, tmp_path):
    for d in CATALOGUE.values():
        line = json.dumps({**make_row(0, 0), "meta": "{}"}) + "\n"
        if d.train:
            path = tmp_path / f"data/{d.task}/{d.name}/train.jsonl"
            path.parent.mkdir(parents=True)
            path.write_text(line * (d.train // 20), "utf-8")
    mixture = Mixture(tmp_path)
    assert len(mixture.mixed_parts) == sum(d.train > 0 for d in CATALOGUE.values())
    reads = []
    line = Copies.read
    monkeypatch.setattr(Copies, "read", lambda self, *piece: reads.append(piece) or line(self, *piece))
    for position in (0, 50_000, 3 * mixture.num_rows + 7):
        again = Mixture(tmp_path)
        again.load_state_dict({**mixture.state_dict(), "rows_consumed": position})
        reads.clear()
        next(iter(again.loader(1)))
        assert len(reads) == len(again.order._lane_epochs) == 1  # one row read, one lane planned, nothing passed over


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "its seed is 0, here it is 1"),
        ({"weights": "sqrt"}, "rows per epoch of coco: 400 there, 279 here"),
        ({"batch_size": 8}, "its batch_size is 4, here it is 8"),
        ({"parts": []}, "ai2d is in it and not here"),
    ],
)
def test_a_state_of_another_mixture_is_refused_in_words(mixed, change, words):
    state = mix_of(mixed).state_dict()
    with pytest.raises(M3ITError, match=f"belongs to another mixture: .*{words}"):
        mix_of(mixed, **change).load_state_dict(state)


def test_a_state_of_other_files_is_refused_in_words(mixed):
    state = mix_of(mixed).state_dict()
    write_rows(mixed / "ours/data/vqa/gqa/train.jsonl", [make_row(i, inputs="changed") for i in range(150)])
    with pytest.raises(M3ITError, match="files of gqa"):
        mix_of(mixed).load_state_dict(state)


@pytest.mark.parametrize("weights", ["size", "sqrt", 3.0])
def test_the_same_rows_as_load_dataset(mixed, weights):
    mixture = Mixture(mixed / "ours", batch_size=4, weights=weights)
    rows = list(itertools.islice(mixture, 3 * mixture.num_rows))
    for name in ("viquae", "gqa", "coco", "iqa"):
        loaded = load_dataset(mixed / "ours", name, split="train", meta=True)
        expected = {(json.loads(row["meta"])["id"], row["inputs"], row["outputs"]) for row in loaded}
        seen = Counter((row["id"], row["inputs"], row["outputs"]) for row in rows if row["dataset"] == name)
        assert seen.keys() == expected or weights != "size"
        assert max(seen.values()) - min(Counter({key: seen[key] for key in expected}).values()) <= 1
        images = {row["id"]: row["images"] for row in rows if row["dataset"] == name}
        for row in loaded:
            row_id = json.loads(row["meta"])["id"]
            if row_id in images:
                assert images[row_id] == [base64.b64decode(image) for image in row["image_base64_str"]]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_dropped_row_leaves_its_place_empty_and_moves_no_other(monkeypatch, spoiled, kind):
    good = Mixture(spoiled / {"jsonl": "good", "parquet": "good-parquet"}[kind], batch_size=4)
    mixture = Mixture(spoiled / kind, batch_size=4, on_error="drop")
    dropped = {"gqa row-3", "gqa row-17", "gqa row-30"}
    expected = [row_id for row_id in take(good, 80) if row_id not in dropped]
    whole = [row_id for start in range(0, 80, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert whole == expected
    assert read_ranks(monkeypatch, mixture, 2, 3, 10) == expected
    assert mixture.drops() == {"gqa": {"outputs is no string": 2, "image is not base64": 1}}


def test_a_batch_is_never_empty(spoiled):
    mixture = Mixture(spoiled / "jsonl", batch_size=1, on_error="drop")
    batches = [ids(mixture.batch(start, start + 1)) for start in range(40)]
    assert [len(batch) for batch in batches] == [1] * 40
    assert len({row_id for batch in batches for row_id in batch}) == 37


def test_what_a_transform_refuses_is_dropped_by_its_reason(spoiled):
    def refuse(row):
        if row["id"] == "row-5":
            raise ShardError("its picture is broken", "broken picture")
        return {"id": row["id"].upper(), "dataset": row["dataset"]}

    mixture = Mixture(spoiled / "good", batch_size=4, on_error="drop", transform=refuse)
    rows = [row_id for start in range(0, 40, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert sorted(rows) == sorted(f"gqa ROW-{i}" for i in range(40) if i != 5)
    assert mixture.drops() == {"gqa": {"broken picture": 1}}
    with pytest.raises(ShardError, match="gqa: .*its picture is broken"):
        take(Mixture(spoiled / "good", transform=refuse), 40)


def test_a_drop_list_leaves_rows_out_without_counting_them(spoiled, tmp_path):
    (tmp_path / "drop.txt").write_text("row-1\nrow-2\n\n")
    mixture = Mixture(spoiled / "good", batch_size=4, drop_list=tmp_path / "drop.txt")
    assert "2 row ids on the drop list" in mixture.describe()
    rows = [row_id for start in range(0, 40, 4) for row_id in ids(mixture.batch(start, start + 4))]
    assert len(rows) == 38 and not {"gqa row-1", "gqa row-2"} & set(rows) and mixture.drops() == {}


def test_a_table_of_weights_gives_the_shares_it_says(mixed):
    table = {"viquae": 3, "gqa": 1, "coco": 0, "iqa": 1, "ai2d": 5}
    mixture = mix_of(mixed, weights=table)
    counts = Counter(row["dataset"] for row in itertools.islice(mixture, mixture.num_rows))
    assert counts == {name: pytest.approx(303 * weight / 10, abs=1) for name, weight in table.items() if weight}
    seen = Counter(take(mixture, mixture.num_rows))
    assert {count for row_id, count in seen.items() if row_id.startswith("viquae")} <= {3, 4}  # 91 draws of 30 rows


def test_datasets_are_spread_evenly_over_an_epoch(mixed):
    mixture = mix_of(mixed, weights={"viquae": 1, "gqa": 1, "coco": 1, "iqa": 1, "ai2d": 1})
    names = [row["dataset"] for row in itertools.islice(mixture, 700)]
    for start in range(0, 700, 175):
        assert min(Counter(names[start : start + 175]).values()) > 15  # 35 expected


def test_the_table_says_rows_shares_and_the_order_in_force(mixed):
    lines = {line.split()[0]: line for line in mix_of(mixed, weights="sqrt").describe().splitlines()}
    assert "full shuffle" in lines["gqa"] and "row groups, shuffled in windows" in lines["ai2d"]
    assert lines["gqa"].split()[1:4] == ["150", f"{171 / 703:.2%}", "171"]  # sqrt(150) of the sum of roots: 24.3 %


# ---- pictures that rows share


@pytest.fixture
def asked(tmp_path):
    """90 rows in no order about 12 pictures, one of which has 30, and 10 without any; and 40 about others, in groups
    of rows."""
    numbers = [0] * 30 + [1 + i % 11 for i in range(60)]
    pictures = [make_row(number)["image_base64_str"] for number in numbers] + [[]] * 10
    rows = [make_row(i, image_base64_str=pictures[i * 37 % 100]) for i in range(100)]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows)
    write_parquet(tmp_path / "data/kvqa/viquae/train.parquet", [make_row(200 + i) for i in range(40)], 8)
    return tmp_path


def test_rows_about_a_picture_follow_each_other_and_each_counts_as_itself(asked):
    mixture = Mixture(asked, ["gqa"], batch_size=128, share_pictures=True)
    rows = list(itertools.islice(mixture, 200))
    for epoch in (rows[:100], rows[100:]):
        assert sorted(row["id"] for row in epoch) == sorted(f"row-{i}" for i in range(100))
    kinds = [tuple(row["images"]) for row in rows[:100]]
    stretches = Counter(kind for kind, _ in itertools.groupby(kinds) if kind)
    # Lanes cut a few; without the flag nearly each row would begin a stretch.
    assert len(stretches) == 12 and stretches.total() < 30
    plain = [tuple(row["images"]) for row in itertools.islice(Mixture(asked, ["gqa"], batch_size=128), 100)]
    assert sum(1 for kind, _ in itertools.groupby(plain) if kind) > 60
    assert "full shuffle of pictures, with their rows" in mixture.describe()


def test_an_order_by_pictures_is_resumed_at_any_position_on_any_number_of_processes(monkeypatch, asked):
    options = {"batch_size": 8, "share_pictures": True}
    expected = take(Mixture(asked, ["gqa", "viquae"], **options), 160)
    for position in (0, 1, 7, 8, 77, 139, 150):
        mixture = Mixture(asked, ["gqa", "viquae"], **options)
        mixture.load_state_dict({**mixture.state_dict(), "rows_consumed": position})
        assert take(mixture, 10) == expected[position : position + 10]
    for world_size, num_workers in ((1, 2), (2, 0), (4, 1)):
        mixture = Mixture(asked, ["gqa", "viquae"], **options)
        read = read_ranks(monkeypatch, mixture, world_size, num_workers, 20 // world_size)
        assert read == expected[: len(read)] and len(read) == 160


@pytest.mark.parametrize("hashes", [True, False])
def test_rows_of_a_row_group_about_a_picture_stand_together_in_every_pass(tmp_path, hashes):
    pictures = [make_row(number)["image_base64_str"] for number in range(20)]
    rows = [make_row(i, image_base64_str=pictures[i * 7 % 20]) for i in range(200)]
    if hashes:  # as a release has them
        for row in rows:
            row["image_sha256"] = [hashlib.sha256(text.encode()).hexdigest() for text in row["image_base64_str"]]
    write_parquet(tmp_path / "data/vqa/gqa/train.parquet", rows, 100)
    write_rows(tmp_path / "data/vqa/okvqa/train.jsonl", [make_row(1000 + i) for i in range(50)])
    options = {"batch_size": 16, "share_pictures": True}
    mixture = Mixture(tmp_path, ["gqa", "okvqa"], **options)
    read = take(mixture, 500)
    for epoch in (read[:250], read[250:]):
        assert sorted(epoch) == sorted(
            [f"gqa row-{i}" for i in range(200)] + [f"okvqa row-{1000 + i}" for i in range(50)]
        )
    shown = [int(name[8:]) * 7 % 20 for name in read[:250] if name.startswith("gqa")]
    stretches = sum(1 for _ in itertools.groupby(shown))
    assert stretches < 90  # at least 40, ten rows about a picture in two row groups; shuffled row by row, about 190
    assert read[:250] != read[250:] and "in runs of 16 rows by picture" in mixture.describe()
    for position in (0, 1, 16, 133, 251, 470):
        resumed = Mixture(tmp_path, ["gqa", "okvqa"], **options)
        resumed.load_state_dict({**mixture.state_dict(), "rows_consumed": position})
        assert take(resumed, 20) == read[position : position + 20]


@pytest.mark.parametrize("absent", ["image_base64_str", "image_sha256"])
def test_rows_without_a_list_of_pictures_stand_alone_in_an_order_by_pictures(tmp_path, absent):
    rows = [make_row(i % 4, meta=json.dumps({"id": f"row-{i}"})) for i in range(20)]
    rows = [{**row, **({"image_sha256": ["ab"]} if absent == "image_sha256" else {})} for row in rows]
    rows[3] |= {absent: None}
    write_parquet(tmp_path / "data/vqa/gqa/train.parquet", rows, 8)
    assert sorted(take(Mixture(tmp_path, ["gqa"], share_pictures=True), 20)) == sorted(
        take(Mixture(tmp_path, ["gqa"]), 20)
    )


def test_runs_stay_together_in_a_permutation_and_every_number_has_its_place():
    for count in (1, 15, 16, 17, 100, 1024):
        for run in (1, 16):
            places = [permuted_runs(number, count, run, 3) for number in range(count)]
            assert sorted(places) == list(range(count))
            assert all(places[i + 1] == places[i] + 1 for i in range(count - 1) if (i + 1) % run)
    assert permuted_runs(3, 100, 1, 5) == permuted(3, 100, 5)


@pytest.mark.parametrize("first", [True, False])
def test_a_state_of_an_order_by_pictures_is_not_that_of_another(asked, first):
    one, other = (Mixture(asked, ["gqa"], share_pictures=shares) for shares in (first, not first))
    with pytest.raises(M3ITError, match=f"its share_pictures is {first}, here it is {not first}|files of gqa"):
        other.load_state_dict(one.state_dict())
    one.load_state_dict(one.state_dict())


def test_rows_that_cannot_be_read_are_dropped_once_from_an_order_by_pictures(spoiled):
    mixture = Mixture(spoiled / "jsonl", ["gqa"], batch_size=4, on_error="drop", share_pictures=True)
    rows = [row for row in map(mixture.row, range(40)) if row is not None]
    assert len({row["id"] for row in rows}) == 37 and mixture.drops()["gqa"].total() == 3


def test_instructions_are_drawn_anew_in_every_pass(tmp_path):

    options = instructions("gqa")
    rows = [make_row(i, 0, instruction=options[0] if i else "An instruction of its own.") for i in range(30)]
    write_rows(tmp_path / "data/vqa/gqa/train.jsonl", rows)

    def drawn(passes=2, **choices):
        mixture = Mixture(tmp_path, ["gqa"], batch_size=4, **choices)
        read = itertools.islice(mixture, passes * 30)
        return [(row["id"], row["instruction"]) for row in read]

    assert {text for _, text in drawn()} == {options[0], "An instruction of its own."}
    again = drawn(resample_instructions=True)
    first, second = dict(again[:30]), dict(again[30:])
    assert first["row-0"] == second["row-0"] == "An instruction of its own."
    assert sum(first[row_id] != second[row_id] for row_id in first) > 15
    assert set(first.values()) <= {*options, "An instruction of its own."}
    assert again == drawn(resample_instructions=True)
    few = {text for _, text in drawn(instructions_per_dataset=3)} - {"An instruction of its own."}
    fewer = {text for _, text in drawn(instructions_per_dataset=2)} - {"An instruction of its own."}
    assert len(few) == 3 and len(fewer) == 2 and fewer < few
    assert drawn()[:30] != drawn(instructions_per_dataset=1)[:30]


def test_a_local_file_that_is_written_again_under_a_mixture_is_no_mixture_of_two(tmp_path):
    path = write_rows(tmp_path / "data/t/mine/train.jsonl", [make_row(i, inputs="old") for i in range(40)])
    mixture = Mixture(str(tmp_path), ["mine"], batch_size=4)
    assert mixture.row(0)["inputs"] == "old"
    write_rows(path, [make_row(i, inputs="new") for i in range(40)])
    os.utime(path, (1, 1))
    with pytest.raises(ShardError, match="data/t/mine/train.jsonl: changed while it was read. Call again"):
        mixture.row(1)


def test_a_mixture_says_what_it_is_of_without_opening_it(tmp_path):
    from m3it.mixing.part import Part

    of_nowhere = Mixture(str(tmp_path / "nowhere"), parts=[Part("http://user:secret@127.0.0.1:9/x", "viquae")], seed=3)
    assert repr(of_nowhere) == (
        f"Mixture of {tmp_path / 'nowhere'}, train; viquae, train; seed 3. print(mixture.describe()) counts its rows."
    )
    assert "secret" not in repr(Mixture(None, parts=[Part("http://user:secret@127.0.0.1:9/x")]))
