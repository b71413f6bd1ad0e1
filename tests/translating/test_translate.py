"""The whole stage: rows in, shards of another language out, whatever the model does."""

import itertools
import json
import os
import signal
import subprocess
import sys

import pytest
from chat_server import ChatServer
from conftest import ROOT, make_row, write_rows
from scripted_translations import ENGLISH_TEXT, FAULTS, GERMAN, pairs, repository_of, scripted, server_settings
from typer.testing import CliRunner

from m3it import LANGUAGES, load_dataset
from m3it.catalogue import known_instructions
from m3it.cli import app
from m3it.rows.instance import M3ITError
from m3it.translating.engines import EngineSettings, TransformersEngine, open_engine
from m3it.translating.translate import translate

GREEK = str.maketrans("abcdefghijklmnopqrstuvwxyzGS", "αβψδεφγηιξκλμνοπρστθυςωχζϊΓΣ")


def killing(pid_path, at):
    """A server that ends a program after so many requests with SIGKILL, once."""
    count = itertools.count(1)

    def reply(request):
        if next(count) == at:
            os.kill(int(pid_path.read_text()), signal.SIGKILL)
        return f"Griechisch {request['messages'][-1]['content']}".translate(GREEK)

    return reply


def test_okvqa_zh_made_by_a_model_loads_with_the_ids_pictures_and_instructions_of_its_rows(settings, tmp_path):
    runs = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "out", split="validation")
    (file,) = runs["zh"]["files"].values()
    english = load_dataset(str(ROOT), "okvqa", split="validation", meta=True)
    chinese = load_dataset(str(tmp_path / "out"), "okvqa-zh", split="validation", meta=True)
    by_hand = dict(pairs())
    assert len(chinese) == len(english) == file["num_rows"] > 2 and not file["drops"]
    for row, source in zip(chinese, english, strict=True):
        meta = json.loads(row["meta"])
        assert meta["id"] == json.loads(source["meta"])["id"]
        assert row["image_base64_str"] == source["image_base64_str"]
        assert row["instruction"] == known_instructions("okvqa", "zh")[source["instruction"]]
        assert row["outputs"] == by_hand[source["outputs"]]
        assert row["inputs"] == by_hand[source["inputs"]].replace("？", "?")  # sentencepiece's normal form, as NLLB's
        assert meta["translated"] == settings.model and meta["translation_notes"]["instruction"] == ["by hand"]
    counts = runs["zh"]["counts"]
    assert (
        counts["passed"]
        == counts["parts"]
        == counts["texts"]
        == len({t for r in english for t in (r["inputs"], r["outputs"])})
    )


def test_a_second_run_asks_the_model_nothing_and_writes_the_same_bytes(settings, tmp_path, monkeypatch):
    first = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "one", split="validation")
    monkeypatch.setattr(TransformersEngine, "generate", None)
    second = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "two", split="validation")
    assert first == second
    third = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "one", split="validation")
    assert third == first  # what is done is not done again


def test_several_workers_write_the_same_bytes(settings, tmp_path):
    one = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "one", limit=2)
    two = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path / "two", limit=2, workers=2)
    assert one["zh"]["files"] == two["zh"]["files"] and len(one["zh"]["files"]) == 2


def test_another_model_is_not_mixed_into_a_folder(settings, tmp_path):
    translate("okvqa", ["zh"], settings, str(ROOT), tmp_path, split="validation", limit=1)
    with pytest.raises(M3ITError, match="was made with limit=1, not 2"):
        translate("okvqa", ["zh"], settings, str(ROOT), tmp_path, split="validation", limit=2)


def test_a_killed_run_goes_on_where_it_was_and_ends_with_the_same_bytes(tmp_path):
    program = """
import os, sys
open(sys.argv[3], "w").write(str(os.getpid()))
from m3it.translating import translate
translate.WINDOW_ROWS = 4
settings = translate.EngineSettings("openai", "scripted", base_url=sys.argv[1], cache_dir=sys.argv[4], parallel=2)
translate.translate("own", ["el"], settings, sys.argv[2], sys.argv[5])
"""
    words = ["dog", "cat", "car", "house", "tree", "boat", "chair", "fish", "robot", "flower", "star", "train"]
    repo = repository_of(tmp_path, *({"inputs": f"where is the {word}", "outputs": word} for word in words))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(server, name):
        ours = [str(tmp_path / "pid"), str(tmp_path / f"kept-{name}"), str(tmp_path / name)]
        return subprocess.run([sys.executable, "-c", program, server.url, repo, *ours], env=env, check=False).returncode

    def bytes_of(name):
        paths = (path for path in (tmp_path / name).rglob("*") if path.is_file())
        return {str(path.relative_to(tmp_path / name)): path.read_bytes() for path in paths}

    with ChatServer(killing(tmp_path / "pid", at=13)) as server:
        assert run(server, "killed") == -signal.SIGKILL and not list((tmp_path / "killed").rglob("validation.jsonl"))
        before = len(server.asked)
        assert run(server, "killed") == 0
        assert len(server.asked) - before < 2 * len(words) - 8  # the first windows' texts were kept
        before = len(server.asked)
        assert run(server, "whole") == 0 and len(server.asked) - before == 2 * len(words)
    killed, whole = bytes_of("killed"), bytes_of("whole")
    shard = "data/vqa/own/el/validation.jsonl"
    assert killed[shard] == whole[shard] and len(killed[shard].splitlines()) == len(words)
    assert killed == whole  # run.json and its counts, too


@pytest.mark.slow
def test_a_cluster_writes_the_same_bytes(tmp_path):
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install -e '.[cluster]'")
    repo = repository_of(tmp_path, *({"inputs": f"the {word} there", "outputs": word} for word in ("dog", "cat")))
    options = {"processes": True, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with ChatServer(killing(tmp_path / "pid", at=0)) as server:
        settings = server_settings(server, tmp_path)
        one = translate("own", ["el"], settings, repo, tmp_path / "one")
        with distributed.LocalCluster(**options, local_directory=str(tmp_path / "dask")) as cluster:
            two = translate("own", ["el"], settings, repo, tmp_path / "two", cluster=cluster.scheduler_address)
    assert one["el"]["files"] == two["el"]["files"] and one["el"]["files"]["validation.jsonl"]["num_rows"] == 2


def own_files(tmp_path, *sizes):
    """A repository whose split `validation` has files of so many rows, all different."""
    numbers = itertools.count()
    for place, size in enumerate(sizes):
        path = tmp_path / f"repo/data/vqa/own/validation-{place:05}-of-{len(sizes):05}.jsonl"
        rows = [(i, f"the robot in the corner of room {chr(97 + i)}") for i in itertools.islice(numbers, size)]
        write_rows(path, [make_row(i, instruction="", inputs=text, outputs="") for i, text in rows])
    return str(tmp_path / "repo")


def greek(request):
    return f"Griechisch {request['messages'][-1]['content']}".translate(GREEK)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("limit", "made"), [(2, [2]), (4, [3, 1]), (7, [3, 3, 1]), (99, [3, 3, 2])])
def test_a_limit_is_for_all_the_files_of_a_split(limit, made, workers, tmp_path):
    repo = own_files(tmp_path, 3, 3, 2)
    with ChatServer(greek) as server:
        settings = server_settings(server, tmp_path)
        run = translate("own", ["el"], settings, repo, tmp_path / "out", limit=limit, workers=workers)["el"]
    assert [file["num_rows"] for file in run["files"].values()] == made
    found = load_dataset(str(tmp_path / "out"), "own-el", split="validation", meta=True)
    source = load_dataset(repo, "own", split="validation", meta=True)
    assert [json.loads(row["meta"])["id"] for row in found] == [json.loads(row["meta"])["id"] for row in source][:limit]


@pytest.mark.parametrize("workers", [1, 3])
def test_max_cost_is_for_all_workers_files_and_languages(workers, tmp_path):
    repo = own_files(tmp_path, 8, 8, 8)
    with ChatServer(greek) as server:
        settings = server_settings(server, tmp_path)._replace(prices=(1e6, 0), max_cost=1200, parallel=2)
        with pytest.raises(M3ITError, match=r"max_cost 1200: [0-9,]+ replies have cost [0-9.]+, the next may cost"):
            translate("own", ["el", "ru"], settings, repo, tmp_path / "out", workers=workers)
        paid = sum(len(m["content"].split()) for body in server.asked for m in body["messages"])
        assert 900 < paid <= 1200  # the server counts words as tokens
        more = settings._replace(max_cost=10_000)
        translate("own", ["el"], more, repo, tmp_path / "out", workers=workers)  # goes on
        asked = [(body["messages"][0]["content"], body["messages"][-1]["content"]) for body in server.asked]
        assert len([a for a in asked if "Greek" in a[0]]) == 24 == len({a[1] for a in asked})


def test_max_cost_is_for_one_call_and_not_for_those_before(tmp_path):
    repo = own_files(tmp_path, 6)
    with ChatServer(greek) as server:
        settings = server_settings(server, tmp_path)._replace(prices=(1e6, 0), max_cost=450)
        for limit in (3, 6):
            translate("own", ["el"], settings, repo, tmp_path / str(limit), limit=limit)
    assert len(server.asked) == 6


def test_max_cost_is_refused_where_many_processes_would_pay(tmp_path):
    settings = EngineSettings("openai", "m", base_url="http://127.0.0.1:1/v1", prices=(1, 1), max_cost=1)
    with pytest.raises(M3ITError, match="--max-cost: is kept by one process, a cluster has many"):
        translate("own", ["el"], settings, own_files(tmp_path, 1), tmp_path / "out", cluster="tcp://127.0.0.1:1")


def test_with_workers_no_model_is_loaded_in_the_process_that_starts_them(tmp_path):
    repo = own_files(tmp_path, 1, 1)
    open_engine.cache_clear()
    with ChatServer(greek) as server:
        translate("own", ["el"], server_settings(server, tmp_path), repo, tmp_path / "out", workers=2, back=1)
    assert open_engine.cache_info().currsize == 0


def test_run_json_has_the_files_in_their_order_whoever_ends_first_and_however_often_it_is_called(tmp_path):
    repo = own_files(tmp_path, 9, 1, 1)
    with ChatServer(greek) as server:
        settings = server_settings(server, tmp_path)
        calls = (("a", 1), ("b", 3), ("b", 3))
        runs = [translate("own", ["el"], settings, repo, tmp_path / name, workers=n)["el"] for name, n in calls]
    texts = [(tmp_path / name / "data/vqa/own/el/run.json").read_text("utf-8") for name in "ab"]
    assert texts[0] == texts[1] and list(runs[0]["files"]) == list(runs[2]["files"])


def test_progress_is_told_window_by_window_with_the_number_of_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("m3it.translating.translate.WINDOW_ROWS", 2)
    repo, seen = (
        repository_of(tmp_path, *({"inputs": word, "outputs": ""} for word in ("is", "are", "was", "were"))),
        [],
    )

    def progress(items, description, total):
        for item in items:
            seen.append((len(server.asked), total))
            yield item

    with ChatServer(lambda request: "sein") as server:
        translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out", limit=3, progress=progress)
    assert seen == [(2, 3), (2, 3), (3, 3)]  # texts asked for, rows in all, as each row is done


def test_shards_that_no_run_made_are_not_written_over(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    write_rows(tmp_path / "repo/data/vqa/own/de/validation.jsonl", [make_row(0)])
    with ChatServer(lambda request: GERMAN) as server:
        with pytest.raises(M3ITError, match="own/de: holds validation.jsonl, which this command did not make"):
            translate("own", ["de"], server_settings(server, tmp_path), repo, repo)
        (tmp_path / "repo/data/vqa/own/de/validation.jsonl").unlink()
        translate("own", ["de"], server_settings(server, tmp_path), repo, repo)
        write_rows(tmp_path / "repo/data/vqa/own/de/validation-00000-of-00002.jsonl", [make_row(0)])
        with pytest.raises(M3ITError, match="holds validation-00000-of-00002.jsonl already"):
            translate("own", ["de"], server_settings(server, tmp_path), repo, repo)


def test_a_language_without_a_row_has_no_score_of_its_back_translation(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(lambda request: "") as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out", back=3)["de"]
    assert run["files"]["validation.jsonl"]["num_rows"] == 0
    assert run["back_translation"] == {"chrf": None, "num_texts": 0}


def test_back_translation_is_scored(settings, tmp_path):
    runs = translate("okvqa", ["zh"], settings, str(ROOT), tmp_path, split="validation", back=3)
    score = runs["zh"]["back_translation"]
    assert score["num_texts"] == 3 and 0 <= score["chrf"] <= 100 and score["signature"].startswith("nrefs:1")


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_is_caught_counted_and_fixed_by_asking_again(reason, tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(scripted({ENGLISH_TEXT: FAULTS[reason]})) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation", meta=True)
    assert row["inputs"] == GERMAN and run["counts"][reason] == 1 == run["counts"]["passed"]
    assert json.loads(row["meta"])["translation_notes"] == {"inputs": [f"{reason} (decoding 0)"]}


@pytest.mark.parametrize("reason", FAULTS)
def test_each_fault_that_stays_drops_the_row_with_its_reason_or_keeps_its_english(reason, tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": "3"}, {"inputs": "7?", "outputs": "8"})
    with ChatServer(scripted({ENGLISH_TEXT: FAULTS[reason]}, at_first=False)) as server:
        settings = server_settings(server, tmp_path)
        run = translate("own", ["de"], settings, repo, tmp_path / "drop")["de"]
        kept = translate("own", ["de"], settings, repo, tmp_path / "keep", on_error="keep")["de"]
        with pytest.raises(M3ITError, match=f"row 'row-0' in de: inputs: {reason}. Pass --on-error drop"):
            translate("own", ["de"], settings, repo, tmp_path / "raise", on_error="raise")
    assert run["counts"][reason] == 3 and run["files"]["validation.jsonl"]["drops"] == {f"inputs: {reason}": 1}
    (drop,) = map(json.loads, (tmp_path / "drop/data/vqa/own/de/drops.jsonl").read_text("utf-8").splitlines())
    assert drop == {"id": "row-0", "shard": "validation.jsonl", "reason": f"inputs: {reason}"}
    rows = list(load_dataset(str(tmp_path / "keep"), "own-de", split="validation", meta=True))
    assert kept["files"]["validation.jsonl"]["num_rows"] == 2 and rows[0]["inputs"] == ENGLISH_TEXT
    assert json.loads(rows[0]["meta"])["translation_kept"] == f"inputs: {reason}"


OPTIONS = "Options:\n(A) a dog\n(B) a cat"


def test_options_keep_their_letters_and_the_answer_stays_one_of_them(tmp_path):
    said = {"Options:": "Optionen:", "a dog": "ein Hund", "a cat": "eine Katze"}
    repo = repository_of(tmp_path, {"inputs": OPTIONS, "outputs": "(B) a cat"})
    with ChatServer(scripted(said, at_first=False)) as server:
        translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")
        assert len(server.asked) == 3  # each distinct part once
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation")
    assert row["inputs"] == "Optionen:\n(A) ein Hund\n(B) eine Katze" and row["outputs"] == "(B) eine Katze"


@pytest.mark.parametrize(("again", "kept"), [("ein Hund.", True), ("ein Wauwau.", False)])
def test_an_answer_that_leaves_its_options_is_asked_again_then_dropped(tmp_path, again, kept):
    said = {"Options:": "Optionen:", "a dog": "ein Hund", "a cat": "eine Katze"}

    def reply(request):
        text = request["messages"][-1]["content"]
        return said[text] if text in said else again if request["temperature"] else "ein Köter."

    repo = repository_of(tmp_path, {"inputs": OPTIONS, "outputs": "a dog."})
    with ChatServer(reply) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    made = run["files"]["validation.jsonl"]
    assert made["num_rows"] == kept and made["drops"] == ({} if kept else {"answer not among the options": 1})


def test_an_answer_that_became_the_question_is_dropped(tmp_path):
    repo = repository_of(tmp_path, {"inputs": ENGLISH_TEXT, "outputs": "Three old people are sitting there."})
    with ChatServer(lambda request: GERMAN) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    assert run["files"]["validation.jsonl"]["drops"] == {"answer equals the question": 1}


ODD_ROWS = {
    "broken JSON": b"{bad",
    "no text in outputs": {"outputs": None},
    "meta in a deep nest": {"meta": '{"id": "r", "a": ' + "[" * 3000 + "]" * 3000 + "}"},
    "half a character": {"outputs": "\ud83d"},
    "no base64": {"image_base64_str": ["<html>"]},
}


@pytest.mark.parametrize("odd", ODD_ROWS)
def test_a_row_that_cannot_be_read_is_dropped_and_listed_or_ends_the_run_with_its_place(tmp_path, odd):
    repo = repository_of(tmp_path, {"inputs": "7", "outputs": "8"}, {"inputs": "9", "outputs": ""})
    path, row = tmp_path / "repo/data/vqa/own/validation.jsonl", ODD_ROWS[odd]
    line = row if isinstance(row, bytes) else json.dumps({**make_row(5), **row}).encode()
    path.write_bytes(line + b"\n" + path.read_bytes())
    with ChatServer() as server:
        settings = server_settings(server, tmp_path)
        run = translate("own", ["de"], settings, repo, tmp_path / "out", limit=1, back=1)["de"]
        with pytest.raises(M3ITError, match="data/vqa/own/validation.jsonl:1: .*on_error='drop'"):
            translate("own", ["de"], settings, repo, tmp_path / "raise", on_error="raise")
    made = run["files"]["validation.jsonl"]
    assert made["num_rows"] == 1 and list(made["drops"].values()) == [1] and run["back_translation"]["num_texts"] == 1
    (drop,) = (tmp_path / "out/data/vqa/own/de/drops.jsonl").read_text("utf-8").split("\n")[:-1]
    assert json.loads(drop)["id"] == "data/vqa/own/validation.jsonl:0"


def test_a_row_with_no_text_is_dropped_and_counted(tmp_path):
    repo = repository_of(tmp_path, {"inputs": " ", "outputs": ""}, {"inputs": ENGLISH_TEXT, "outputs": ""})
    with ChatServer(lambda request: GERMAN) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out", on_error="keep")["de"]
    made = run["files"]["validation.jsonl"]
    assert made["num_rows"] == 1 and made["drops"] == {"no text": 1}


def test_a_row_with_no_text_ends_a_run_that_is_to_raise(tmp_path):
    repo = repository_of(tmp_path, {"inputs": " ", "outputs": ""})
    with ChatServer() as server, pytest.raises(M3ITError, match="row 'row-0' in de: no text"):
        translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out", on_error="raise")


def test_rows_travel_through_all_80_codes_and_back_and_load_by_their_names(tmp_path):
    repo = repository_of(tmp_path, {"inputs": "a small dog", "outputs": "15"})

    def reply(request):
        """The own name of the language that is asked for, in its own script."""
        asked = request["messages"][0]["content"].split("\n")[0]
        found = [x.own_name for x in LANGUAGES.values() if f"to {x.name} ({x.own_name})" in asked]
        return found[0] if found else "a small dog"

    with ChatServer(reply) as server:
        runs = translate("own", LANGUAGES, server_settings(server, tmp_path), repo, tmp_path / "out", back=1)
        assert list(runs) == list(LANGUAGES) and len(server.asked) == 160
    assert {run["back_translation"]["chrf"] for run in runs.values()} == {100}
    for code, language in LANGUAGES.items():
        (row,) = load_dataset(str(tmp_path / "out"), f"own-{code}", split="validation", streaming=True)
        assert (row["inputs"], row["outputs"]) == (language.own_name, "15")


def test_wrong_questions_get_clear_sentences(settings, tmp_path):
    with pytest.raises(M3ITError, match="fm-iqa: is in zh already"):
        translate("fm-iqa", ["zh"], settings, str(ROOT), tmp_path)
    with pytest.raises(M3ITError, match="okvqa-de: is a translation itself"):
        translate("okvqa-de", ["fr"], settings, str(ROOT), tmp_path)
    with pytest.raises(M3ITError, match="okvqa: there is no split 'test', only train, validation"):
        translate("okvqa", ["fr"], settings, str(ROOT), tmp_path, split="test")
    with pytest.raises(ValueError, match="on_error='skip': expected drop, keep, raise"):
        translate("okvqa", ["fr"], settings, str(ROOT), tmp_path, on_error="skip")


def turn(role, text, images=0):
    return {"role": role, "content": [{"type": "image"}] * images + [{"type": "text", "text": text}]}


def test_the_messages_of_a_conversation_are_translated_too(tmp_path):
    said = {"What is it?": "Was ist es?", "a dog": "ein Hund", "Which one?": "Welches?", "a cat": "eine Katze"}
    talk = [turn("user", "What is it?", 1), turn("assistant", "a dog")]
    talk += [turn("user", "Which one?"), turn("assistant", "a cat")]
    repo = repository_of(
        tmp_path,
        {"inputs": "What is it?", "outputs": "a cat", "meta": json.dumps({"id": "r", "messages": talk})},
        {"inputs": "What is it?", "outputs": "a cat", "meta": json.dumps({"id": "s", "messages": [{"from": "human"}]})},
    )
    with ChatServer(scripted(said, at_first=False)) as server:
        run = translate("own", ["de"], server_settings(server, tmp_path), repo, tmp_path / "out")["de"]
    (row,) = load_dataset(str(tmp_path / "out"), "own-de", split="validation", meta=True)
    texts = [(part["role"], part["content"][-1]["text"]) for part in json.loads(row["meta"])["messages"]]
    asked, answered = ("user", "Was ist es?"), ("assistant", "ein Hund")
    assert texts == [asked, answered, ("user", "Welches?"), ("assistant", "eine Katze")]
    assert (row["inputs"], row["outputs"]) == ("Was ist es?", "eine Katze")
    assert run["files"]["validation.jsonl"]["drops"] == {"messages: unknown content": 1}


def test_a_message_that_cannot_be_translated_drops_the_row_or_keeps_all_of_it(tmp_path):
    talk = [turn("user", "7?", 1), turn("assistant", ENGLISH_TEXT)]
    meta = json.dumps({"id": "r", "messages": talk})
    repo = repository_of(tmp_path, {"inputs": "7?", "outputs": "8", "meta": meta})
    with ChatServer(lambda request: "") as server:
        settings = server_settings(server, tmp_path)
        run = translate("own", ["de"], settings, repo, tmp_path / "drop")["de"]
        translate("own", ["de"], settings, repo, tmp_path / "keep", on_error="keep")
    assert run["files"]["validation.jsonl"]["drops"] == {"messages, text 2: empty": 1}
    (row,) = load_dataset(str(tmp_path / "keep"), "own-de", split="validation", meta=True)
    assert json.loads(row["meta"])["messages"] == talk


def test_chinese_rows_can_be_had_in_english(tmp_path):
    write_rows(
        tmp_path / "repo/data/vqa/fm-iqa/validation.jsonl",
        [make_row(0, instruction="", inputs="他走了。为什么？", outputs="")],
    )
    said = {"他走了。": "He left.", "为什么？": "Why?"}
    with ChatServer(lambda request: said[request["messages"][-1]["content"]]) as server:
        translate("fm-iqa", ["en"], server_settings(server, tmp_path), str(tmp_path / "repo"), tmp_path / "out")
    (row,) = load_dataset(str(tmp_path / "out"), "fm-iqa-en", split="validation")
    assert row["inputs"] == "He left. Why?"


def test_the_command_takes_codes_with_blanks_and_the_name_nllb(nllb, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    command = ["translate", "okvqa", "--repo", str(ROOT), "--to", "zh, zh,", "--backend", "nllb", "--model", str(nllb)]
    done = CliRunner().invoke(app, [*command, "--split", "validation", "--limit", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0 and done.stdout == "zh/validation.jsonl: 2 rows\n", done.output
    assert json.loads((tmp_path / "out/data/kvqa/okvqa/zh/run.json").read_text("utf-8"))["versions"]["transformers"]
