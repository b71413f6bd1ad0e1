"""m3it/making/rephrase.py: rows and shards rephrased by a scripted server."""

import json
import re
import shutil
from collections import Counter

import pytest
from chat_server import ChatServer, Refuse, completion
from conftest import make_row, picture, write_rows

import m3it
from m3it.making.rephrase import MAX_REFUSALS, rephrase, rephrase_shard, unfit, unquoted
from m3it.rows.instance import ShardError
from m3it.rows.jsonl import read_shard
from m3it.work.chat import Chat, ChatError, CostError


@pytest.mark.parametrize(
    ("reply", "rewrite"),
    [
        (' "It is a dog." ', "It is a dog."),
        ("“狗”", "狗"),
        ('"Dog" and "cat', '"Dog" and "cat'),
        ('"', '"'),
        ("e\u0301", "é"),
    ],
)
def test_blanks_and_quotation_marks_around_a_reply_go(reply, rewrite):
    assert unquoted(reply) == rewrite


def sentence(request):
    """The scripted model: a sentence with the short answer in it, but for a few answers that it spoils."""
    question, answer = re.fullmatch(
        "Question: (.*)\nShort answer: (.*)", request["messages"][1]["content"], re.S
    ).groups()
    spoiled = {"answer 3": "It is something else.", "answer 4": "It is answer 4 of 17.", "answer 5": "Answer 5"}
    return spoiled.get(answer, f'"The picture shows {answer}."')


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ChatServer(sentence) as server:
        yield server


def told(row):
    """What meta says of the rewriting."""
    meta = json.loads(row["meta"])
    return {name: meta.get(name) for name in ("short_answer", "rephrased", "rephrase_model", "rephrase_reason")}


def test_a_shard_becomes_one_of_the_same_name_that_loads(server, repository, tmp_path):
    source = repository / "data/kvqa/viquae/train.jsonl"
    counts = rephrase_shard(source, tmp_path / "out", Chat("m", server.url, cache_dir=tmp_path / "replies"))
    assert counts == {"rephrased": 7, "answer not in it": 1, "another number": 1, "no sentence": 1}
    before, after = list(read_shard(source)), list(read_shard(tmp_path / "out/data/kvqa/viquae/train.jsonl"))
    kept = ("answer 3", "answer 4", "answer 5")
    assert [row["outputs"] for row in after] == [
        row["outputs"] if row["outputs"] in kept else f"The picture shows {row['outputs']}." for row in before
    ]
    assert [{**row, "outputs": "", "meta": json.loads(row["meta"])["id"]} for row in after] == [
        {**row, "outputs": "", "meta": json.loads(row["meta"])["id"]} for row in before
    ]
    assert told(after[0]) == {
        "short_answer": "answer 0",
        "rephrased": True,
        "rephrase_model": "m-2024",
        "rephrase_reason": None,
    }
    assert told(after[3]) == {
        "short_answer": "answer 3", "rephrased": False, "rephrase_model": "m-2024",
        "rephrase_reason": "answer not in it",
    }  # fmt: skip
    loaded = m3it.load_dataset(tmp_path / "out", "viquae", split="train")
    assert loaded["outputs"][0] == "The picture shows answer 0."
    run = json.loads((tmp_path / "out/data/kvqa/viquae/train.run.json").read_text())
    assert (run["options"]["model"], run["num_rows"], run["rows"]) == ("m", 10, dict(counts))


def test_the_question_is_the_context_and_the_picture_stays_here(server, repository, tmp_path):
    chat = Chat("m", server.url, cache_dir=tmp_path / "replies")
    rephrase_shard(repository / "data/kvqa/viquae/test.jsonl", tmp_path / "out", chat, limit=1)
    system, asked = server.asked[0]["messages"]
    assert system["role"] == "system"
    assert asked == {"role": "user", "content": "Question: What is 20?\nShort answer: answer 20"}
    assert server.asked[0]["temperature"] == 0


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(server, repository, tmp_path):
    source = repository / "data/kvqa/viquae/train.jsonl"
    for out in ("one", "two"):
        rephrase_shard(source, tmp_path / out, Chat("m", server.url, cache_dir=tmp_path / "replies"))
    assert len(server.asked) == 10
    files = [
        (tmp_path / out / "data/kvqa/viquae" / name).read_bytes()
        for name in ("train.jsonl", "train.run.json")
        for out in ("one", "two")
    ]
    assert files[0] == files[1] and files[2] == files[3]


def test_a_run_that_ends_in_the_middle_leaves_no_shard_and_goes_on(server, repository, tmp_path):
    source, target = repository / "data/kvqa/viquae/train.jsonl", tmp_path / "out/data/kvqa/viquae/train.jsonl"
    prices = {"prices": (1e6, 1e6), "cache_dir": tmp_path / "replies", "parallel": 1}
    # a prompt is about 190 tokens by our estimate, a reply may have 200
    with pytest.raises(CostError, match="All replies are kept"):
        rephrase_shard(source, tmp_path / "out", Chat("m", server.url, max_cost=700, **prices))
    asked = len(server.asked)
    assert 0 < asked < 10 and not target.exists()
    rephrase_shard(source, tmp_path / "out", Chat("m", server.url, max_cost=1e6, **prices))
    assert len(server.asked) == 10 and len(list(read_shard(target))) == 10


def test_rows_that_are_not_asked_about_say_why(server, tmp_path):
    meta = json.dumps({"id": "x", "rephrased": True, "short_answer": "dog"})
    rows = [
        make_row(0, outputs="one two three four five six seven eight nine ten eleven"),
        make_row(1, inputs=" "),
        make_row(2, outputs="(A)"),
        make_row(3, outputs="It is a dog.", meta=meta),
        make_row(4, outputs="图中有一只非常可爱的小狗。"),
        make_row(5, outputs="one two three four five six seven eight nine ten"),
    ]
    counts = Counter()
    after = list(rephrase(iter(rows), Chat("m", server.url, cache_dir=tmp_path), counts))
    reasons = ["not a short answer", "no question", "no words", "rephrased before", "not a short answer", ""]
    assert [unfit(row) for row in rows] == reasons
    assert after[3] is rows[3]
    assert [row["outputs"] for row in after[:5]] == [row["outputs"] for row in rows[:5]]
    assert [told(row)["rephrase_reason"] for row in after] == [*reasons[:3], None, reasons[4], None]
    assert len(server.asked) == 1 and counts.total() == 6


def test_replies_that_are_refused_or_cut_off_leave_the_short_answer(server, repository, tmp_path):
    def reply(request):
        if "What is 1?" in request["messages"][1]["content"]:
            raise Refuse(400, "the content is not allowed")
        if "What is 2?" in request["messages"][1]["content"]:
            return completion(request, "The picture shows answer 2 and", "length")
        return sentence(request)

    server.reply = reply
    source = repository / "data/kvqa/viquae/train.jsonl"
    counts = rephrase_shard(source, tmp_path / "out", Chat("m", server.url, cache_dir=tmp_path / "replies"), limit=3)
    assert counts == {"rephrased": 1, "refused by the server": 1, "cut off": 1}
    rows = list(read_shard(tmp_path / "out/data/kvqa/viquae/train.jsonl"))
    assert [row["outputs"] for row in rows] == ["The picture shows answer 0.", "answer 1", "answer 2"]


def test_a_server_that_refuses_every_request_ends_the_run(server, tmp_path):
    def refuse(request):
        raise Refuse(400, "top_p is required")

    server.reply = refuse
    rows = [make_row(i) for i in range(1000)]
    with pytest.raises(ChatError, match="refuses the request: 400, top_p is required"):
        list(rephrase(iter(rows), Chat("m", server.url, cache_dir=tmp_path, parallel=2), Counter()))
    assert len(server.asked) < MAX_REFUSALS + 10


def test_no_more_rows_are_held_than_are_under_way(server, tmp_path):
    read = []

    def rows():
        for i in range(500):
            read.append(i)
            yield make_row(
                i,
                outputs="no word of this caption is asked about, since it has more than ten"
                if i % 100
                else f"answer {i}",
            )

    chat = Chat("m", server.url, cache_dir=tmp_path, parallel=2)
    ahead = [len(read) - done for done, _ in enumerate(rephrase(rows(), chat, Counter()))]
    assert max(ahead) <= 4 * 2
    assert len(server.asked) == 5


def test_a_reply_with_half_a_character_leaves_the_short_answer(server, repository, tmp_path):
    server.reply = lambda request: "The picture shows answer 0 \ud83d."
    source = repository / "data/kvqa/viquae/train.jsonl"
    chat = Chat("m", server.url, cache_dir=tmp_path / "replies")
    assert rephrase_shard(source, tmp_path / "out", chat, limit=1) == {"refused by the server": 1}
    (row,) = read_shard(tmp_path / "out/data/kvqa/viquae/train.jsonl")
    assert row["outputs"] == "answer 0"


def test_a_shard_is_not_written_over_itself(server, repository):
    source = repository / "data/kvqa/viquae/train.jsonl"
    with pytest.raises(ValueError, match="train.jsonl: would be written over itself. Pass another folder"):
        rephrase_shard(source, repository, Chat("m", server.url))
    assert not server.asked


def test_a_shard_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ShardError, match="none.jsonl: expected a shard, there is no such file"):
        rephrase_shard(tmp_path / "none.jsonl", tmp_path / "out", Chat("m"))


def test_a_shard_outside_of_a_repository_goes_straight_into_the_folder(server, tmp_path):
    source = write_rows(tmp_path / "mine/train-00000-of-00002.jsonl", [make_row(1)])
    rephrase_shard(source, tmp_path / "out", Chat("m", server.url, cache_dir=tmp_path / "replies"))
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "train-00000-of-00002.jsonl",
        "train-00000-of-00002.run.json",
    ]


def test_compressed_and_parquet_shards_become_lines(server, repository, tmp_path):
    import gzip

    import pyarrow
    import pyarrow.parquet

    source = repository / "data/kvqa/viquae/test.jsonl"
    chat = Chat("m", server.url, cache_dir=tmp_path / "replies")
    packed = source.with_name("test.jsonl.gz")
    with open(source, "rb") as plain, gzip.open(packed, "wb") as file:
        shutil.copyfileobj(plain, file)
    columns = [
        {**row, "images": [{"bytes": picture(20 + i), "path": None}]} for i, row in enumerate(read_shard(source))
    ]
    for row in columns:
        del row["image_base64_str"]
    table = source.with_name("test.parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(columns), table)
    written = []
    for path in (source, packed, table):
        rephrase_shard(path, tmp_path / path.suffix, chat)
        written.append((tmp_path / path.suffix / "data/kvqa/viquae/test.jsonl").read_bytes())
    assert written[0] == written[1] == written[2]
