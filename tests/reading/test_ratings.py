"""m3it/reading/ratings.py: what a model thinks of rows, from its file into the columns of a release, for filters."""

import json

import pyarrow.parquet as pq
import pytest
from conftest import make_row, write_rows

from m3it import load_dataset
from m3it.publishing.release import release
from m3it.reading.ratings import RATINGS, ratings_of, read_ratings
from m3it.rows.instance import M3ITError

PLACE = {"config": "viquae", "split": "train"}


def rating(number, picture, answer, **place):
    return {**PLACE, "id": f"row-{number}", RATINGS[0]: picture, RATINGS[1]: answer, "evidence": "Seen.", **place}


def write_ratings(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def rated(repository, tmp_path):
    """A release whose rows 0 to 5 of viquae/train have relevance 1, 2, 3, 4, 5, 5; row 6 failed, 7 to 9 were not
    asked for; viquae/test and okvqa/train have none."""
    write_rows(repository / "data/kvqa/okvqa/train.jsonl", [make_row(i) for i in range(2)])
    lines = [rating(i, None if i == 5 else 3, min(i + 1, 5)) for i in range(6)]
    failed = {**PLACE, "id": "row-6", "error": "no reply"}
    path = write_ratings(tmp_path / "ratings.jsonl", *lines, failed, rating(99, 1, 1), rating(0, 5, 5, split="test"))
    run = release(str(repository), tmp_path / "rated", ["viquae", "okvqa"], ratings=[path])
    assert run["ratings"] == {"num_rows": 6, "unrated": 9, "no_such_row": 2}
    return tmp_path / "rated"


def test_a_release_has_ratings_as_columns_and_in_meta(rated):
    rows = pq.read_table(rated / "data/kvqa/viquae-images/train.parquet").to_pylist()
    assert [row["relevance"] for row in rows] == [1, 2, 3, 4, 5, 5, None, None, None, None]
    assert [row["image_correspondence"] for row in rows][4:7] == [3, None, None]
    assert json.loads(rows[5]["meta"])["ratings"] == {"image_correspondence": None, "relevance": 5}
    assert "ratings" not in json.loads(rows[6]["meta"])
    assert pq.read_schema(rated / "data/kvqa/okvqa-images/train.parquet").names[-2:] == [*RATINGS]
    assert pq.read_table(rated / "data/text/train.parquet")["relevance"].null_count == 6
    assert "a model's ratings" in (rated / "README.md").read_text("utf-8")


def test_filters_take_ratings_and_read_no_more_than_they_need(rated):
    def asked(filters, **options):
        return [row["inputs"] for row in load_dataset(rated, "viquae", split="train", filters=filters, **options)]

    assert asked([("relevance", ">=", 4)]) == ["What is 3?", "What is 4?", "What is 5?"]
    assert asked([("relevance", ">=", 3), ("image_correspondence", ">=", 3)]) == [f"What is {i}?" for i in (2, 3, 4)]
    assert asked([("relevance", "<", 2)], streaming=True) == ["What is 0?"]
    assert asked([("meta.ratings.relevance", "==", 5)]) == ["What is 4?", "What is 5?"]
    with pytest.raises(M3ITError, match="expected rows, found none that passes"):
        load_dataset(rated, "okvqa", split="train", filters=[("relevance", ">=", 1)])


def test_a_mixture_filters_by_ratings(rated):
    pytest.importorskip("torch", reason="a mixture is a dataset of PyTorch")
    from m3it.mixing.mixture import Mixture

    mixture = Mixture(rated, ["viquae", "okvqa"], batch_size=3, filters=[("relevance", ">=", 4)])
    assert {row["id"] for row in mixture.batch(0, 3)} == {"row-3", "row-4", "row-5"}


def test_ratings_stay_where_a_release_is_written_again(rated, tmp_path):
    run = release(str(rated), tmp_path / "again", ["viquae"])
    assert "ratings" not in run
    paths = [folder / "data/kvqa/viquae-images/train.parquet" for folder in (rated, tmp_path / "again")]
    assert pq.read_table(paths[0])["relevance"] == pq.read_table(paths[1])["relevance"]
    messages = release(str(rated), tmp_path / "messages", ["viquae"], format="messages")
    table = pq.read_table(tmp_path / "messages/data/kvqa/viquae/train.parquet")
    assert table["relevance"].to_pylist()[:5] == [1, 2, 3, 4, 5] and messages["digest"] == run["digest"]
    release(str(rated), tmp_path / "llava", ["viquae"], format="llava")
    lines = (tmp_path / "llava/viquae/train.jsonl").read_text("utf-8").splitlines()
    assert json.loads(json.loads(lines[1])["meta"])["ratings"]["relevance"] == 2


def test_without_ratings_a_release_has_no_such_columns(repository, tmp_path):
    run = release(str(repository), tmp_path / "plain", ["viquae"])
    assert "ratings" not in run and "ratings" not in run["options"]
    for path in (tmp_path / "plain").rglob("*.parquet"):
        assert not {*RATINGS} & {*pq.read_schema(path).names}
    with pytest.raises(M3ITError, match="there is no 'relevance'"):
        load_dataset(tmp_path / "plain", "viquae", split="train", filters=[("relevance", ">=", 1)])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "expected a JSON object"),
        ("[1]", "expected an object with config, split and id"),
        (json.dumps({**PLACE, "id": 3}), "expected an object with config, split and id"),
        (json.dumps(rating(1, 3, 6)), "expected whole numbers from 1 to 5, found 6"),
        (json.dumps(rating(1, True, 3)), "found True"),
        (json.dumps(rating(1, None, None)), "found no image_correspondence and no relevance"),
        (json.dumps(rating(0, 1, 1)), "row 'row-0' of viquae/train is rated twice"),
    ],
)
def test_a_line_that_rates_no_row_is_one_sentence_with_its_place(tmp_path, line, told):
    path = write_ratings(tmp_path / "ratings.jsonl", rating(0, 3, 3))
    path.write_text(f"{path.read_text('utf-8')}{line}\n", "utf-8")
    with pytest.raises(M3ITError, match=rf"ratings\.jsonl:2: .*{told}"):
        read_ratings([path])


def test_a_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(M3ITError, match="expected ratings.jsonl of m3it rate"):
        read_ratings([tmp_path / "ratings.jsonl"])


def test_what_else_a_source_calls_ratings_is_none_of_ours():
    assert ratings_of({"ratings": 4}) == ratings_of({"ratings": {"relevance": "high"}}) == dict.fromkeys(RATINGS)
