"""The official normalisation, which rewrites may stand for answers, shards on a scripted server."""

import json
import re
import shutil
from collections import Counter

import pytest
from chat_server import ChatServer, Refuse, completion
from conftest import make_row, picture, write_rows
from hypothesis import given
from hypothesis import strategies as st

import m3it
from m3it.making.rephrase import MAX_REFUSALS, rephrase, rephrase_shard, unfit, unquoted
from m3it.making.rewrites import reason_against, words
from m3it.rows.instance import ShardError
from m3it.rows.jsonl import read_shard
from m3it.rows.short_answers import normalize_answer
from m3it.work.chat import Chat, ChatError, CostError

# ---- the official rule

# Expected values: what processPunctuation and processDigitArticle of the official scorer (vqaEval.py at c4e6a0e)
# return, run under Python 3. 300,000 random texts of its tables' words and marks gave no difference either.
OFFICIAL = [
    ("The Dog", "dog"),
    ("a red, green and blue kite", "red green and blue kite"),
    ("T-shirt", "t shirt"),
    ("T-shirt - red", "tshirt red"),  # a blank beside a hyphen: all of them vanish
    ("1,000", "1000"),
    ("1,000 well-known", "1000 wellknown"),  # a comma in a number: every mark vanishes
    ("black/white", "black white"),
    ("black / white", "black white"),
    ("U.S.A.", "usa"),
    ("3.5", "3.5"),
    (".5", ".5"),
    ("5:30 p.m.", "5:30 pm"),
    ("none", "0"),
    ("Two", "2"),
    ("eleven", "eleven"),
    ("none of the two", "0 of 2"),
    ("dont", "don't"),
    ("don't", "don't"),
    ("couldntve", "couldntve"),  # two apostrophes are missing, the table knows one
    ("couldn'tve", "couldn't've"),
    ("youd've", "you'd've"),
    ("somebody'd", "somebodyd"),  # the wrong way round in the official table
    ("Im", "im"),  # the table has it in capitals, but the text is lower case by then
    ("oclock", "o'clock"),
    ("what?!", "what"),
    ("(a)", ""),
    ("a\nb\tc ", "b c"),
    ("." * 40, "." * 8),  # at most 32, the number of the flag re.UNICODE, passed as a count
    ("’tis", "’tis"),
    ("一只 Dog。", "一只 dog。"),
]


@pytest.mark.parametrize(("text", "expected"), OFFICIAL)
def test_answers_are_normalized_as_the_official_scorer_does(text, expected):
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A T-shirt, or so -- red", ["t", "shirt", "or", "so", "red"]),  # each word for itself: no hyphen is lost
        ("twenty-one of twelve dozen", ["21", "of", "12", "12"]),
        ("20 5", ["20", "5"]),
        ("‘dogs’ … “cats”:", ["dogs", "cats"]),
        ("１２ ½", ["12", "1", "2"]),  # compatibility forms: 1⁄2
        ("图中有十二只狗。", ["图", "中", "有", "12", "只", "狗"]),
        ("一个三明治", ["一", "个", "三", "明", "治"]),  # no measure word follows 三
        ("二十只", ["20", "只"]),
        ("สุนัข dog", [*"สุนัข", "dog"]),
        ("", []),
    ],
)
def test_words_are_compared_one_by_one(text, expected):
    assert words(text) == expected


# ---- which rewrites may stand

CASES = [
    # question, short answer, rewrite, reason ("" = kept)
    ("What animal is this?", "dog", "This animal is a dog.", ""),
    ("What animal is this?", "Dog", "The animal is DOG!", ""),
    ("What animal is this?", "dog", "It is a hot dog stand.", ""),  # the words are there: the rule sees no more
    ("What animal is this?", "dog", "This animal is a cat.", "answer not in it"),
    ("What animal is this?", "dog", "These are dogs.", "answer not in it"),  # plural
    ("What animals are these?", "dogs", "These animals are dogs.", ""),
    ("Whose bowl is it?", "dog", "It is the dog's bowl.", "answer not in it"),
    ("What is on the wall?", "art", "There was a party at the wall.", "answer not in it"),  # inside a longer word
    ("What is on the wall?", "art", "There is art on the wall.", ""),
    ("What is this?", "the cat", "This is a cat.", ""),  # articles
    ("What is he wearing?", "t-shirt", "He is wearing a t shirt.", ""),
    ("What is he wearing?", "t shirt", "He is wearing a T-shirt - it seems.", ""),
    ("What is he wearing?", "shirt", "He is wearing a t-shirt.", ""),  # a hyphen parts words
    ("What is he wearing?", "t-shirt", "He is wearing a tshirt.", "answer not in it"),
    ("What is it?", "fire hydrant", "It is a hydrant that looks like fire.", "answer not in it"),  # another order
    ("What is it?", "fire hydrant", "It is a fire, and a hydrant.", "answer not in it"),
    ("What colors are there?", "black and white", "The colors are black, and white.", ""),  # marks are no words
    ("What does the sign say?", "don't walk", "The sign says “Don’t walk”.", ""),
    ("What does the sign say?", "dont walk", "The sign says don't walk.", ""),
    ("What is this?", "dog", "This is not a dog.", "a negation"),
    ("What is this?", "dog", "This isn't a dog.", "a negation"),
    ("What can not be seen?", "dog", "A dog cannot be seen.", ""),  # the question negates too
    ("What is the sign?", "no parking", "The sign says no parking.", ""),
    ("Is he happy?", "not sure", "I am not sure if he is happy.", ""),
    ("How many cats are there?", "2", "There are two cats.", ""),
    ("How many cats are there?", "two", "There are 2 cats.", ""),
    ("How many cats are there?", "2", "There are 22 cats.", "another number"),
    ("How many cats are there?", "2", "There are 2 cats and 3 dogs.", "another number"),
    ("How many of the 3 cats sleep?", "2", "2 of the three cats sleep.", ""),  # the question's number
    ("How many cats are there?", "12", "There are twelve cats.", ""),
    ("How many cats are there?", "21", "There are twenty-one cats.", ""),
    ("How many cats are there?", "2", "There is a pair of cats.", "answer not in it"),
    ("How many cats are there?", "0", "There are none.", ""),  # none is 0 by the official rule
    ("How many cats are there?", "none", "There are zero cats.", ""),
    ("How many cats are there?", "0", "There are no cats.", "answer not in it"),
    ("What animal is this?", "dog", "None of them is a dog.", "another number"),
    ("What animal is on the left?", "dog", "The one on the left is a dog.", "another number"),  # "one" counts as 1
    ("How many seats?", "1,000", "It has 1000 seats.", ""),
    ("How much is it?", "3.5", "It costs 3.5 dollars.", ""),
    ("How much is it?", "3.5", "It costs 5 dollars.", "another number"),
    ("How much is it?", "$5", "It costs 5 dollars.", "answer not in it"),
    ("What time is it?", "5:30", "It is 5:30 now.", ""),
    ("What time is it?", "5:30", "It is 5:45 now.", "another number"),
    ("When was it taken?", "June 5, 2010", "It was taken on June 5, 2010.", ""),
    ("When was it taken?", "June 5, 2010", "It was taken on 5 June 2010.", "answer not in it"),
    ("When was it taken?", "1940", "It was taken in the 1940s.", "answer not in it"),
    ("When was it taken?", "1940", "It was taken in 1940.", ""),
    ("When was it taken?", "1940s", "It was taken in the 1950s.", "another number"),
    ("Is this a dog?", "yes", "Yes, this is a dog.", ""),
    ("Is this a dog?", "yes", "This is a dog.", ""),  # no negation, as it should
    ("Is this a dog?", "yes", "No, this is a cat.", "yes or no differs"),
    ("Is this a dog?", "yes", "This is not a dog.", "yes or no differs"),
    ("Is this a dog?", "no", "No, this is a cat.", ""),
    ("Is this a dog?", "no", "This isn’t a dog.", ""),
    ("Is this a dog?", "No.", "There is no dog.", ""),
    ("Is this a dog?", "no", "This is a dog.", "yes or no differs"),
    ("Is this a dog?", "no", "Nothing but a dog.", ""),  # the rule sees a negation, not its sense
    ("Is this a dog?", "no", "Yes, this is not a dog.", "yes or no differs"),  # the first word decides
    ("Is this a dog?", "yes", "Yes, these are 2 dogs.", "another number"),
    ("这是什么动物？", "狗", "这只动物是狗。", ""),
    ("这是什么动物？", "狗", "这只动物是猫。", "answer not in it"),
    ("这是什么动物？", "狗", "这不是狗。", "a negation"),
    ("这是什么动物？", "猫", "这是熊猫。", ""),  # without blanks a word inside a longer one is not seen
    ("有几只狗？", "2", "图中有两只狗。", ""),
    ("有几只狗？", "两只", "图中有2只狗。", ""),
    ("有几只狗？", "十二只", "图中有12只狗。", ""),
    ("这是什么动物？", "狗", "图中有三只狗。", "another number"),
    ("这是什么动物？", "狗", "图中有一只狗。", ""),  # 一 before a measure word is an article
    ("这是狗吗？", "是的", "是的，这是狗。", ""),
    ("这是狗吗？", "是", "这是一只狗。", ""),
    ("这是狗吗？", "是的", "不，这是猫。", "yes or no differs"),
    ("这是狗吗？", "不是", "这不是狗。", ""),
    ("这是狗吗？", "不是", "这是狗。", "yes or no differs"),
    ("有没有狗？", "有", "没有狗。", "yes or no differs"),
    ("有没有狗？", "没有", "图中没有狗。", ""),
    ("Quel animal ?", "chien", "Cet animal est un chien.", ""),
    ("これは何ですか？", "犬", "これは犬です。", ""),
    ("What animal is this?", "dog", "Dog.", "no sentence"),
    ("What animal is this?", "dog", "Is this animal a dog?", "a question"),
    ("What animal is this?", "dog", "", "no words"),
    ("What animal is this?", "dog", "...", "no words"),
    ("What is the letter?", "A", "The letter is A.", "no words"),  # the official rule drops it as an article
    ("What animal is this?", "dog", "Sure!\nThis animal is a dog.", "more than one line"),
    ("What animal is this?\nOptions:\n(A) cat\n(B) dog", "(B) dog", "The animal is (B) dog.", ""),
    ("What animal is this?\nOptions:\n(A) cat\n(B) dog", "(B) dog", "The animal is a dog.", "answer not in it"),
]  # fmt: skip


@pytest.mark.parametrize(("question", "answer", "rewrite", "reason"), CASES)
def test_a_rewrite_is_kept_or_falls_back_for_its_reason(question, answer, rewrite, reason):
    assert reason_against(rewrite, question, answer) == reason


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=30))
def test_an_answer_put_into_a_sentence_as_it_is_is_kept(answer):
    """What we ask the model for always passes, whatever the script, but for yes, no, and what has no words."""
    rewrite = unquoted(f"It says: {answer} .")
    assert reason_against(rewrite, "What does it say?", answer) in ("", "no words", "yes or no differs")


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


# ---- rows and shards


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


def test_a_reply_with_half_a_character_is_named_by_its_row_and_leaves_no_shard(server, repository, tmp_path):
    server.reply = lambda request: "The picture shows answer 0 \ud83d."
    source = repository / "data/kvqa/viquae/train.jsonl"
    chat = Chat("m", server.url, cache_dir=tmp_path / "replies")
    with pytest.raises(ShardError, match=r"train\.jsonl: row 'row-0': expected text, found half a character"):
        rephrase_shard(source, tmp_path / "out", chat, limit=1)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


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
