"""m3it/publishing/formats/messages.py: conversations as other people's trainers read them."""

import json

from datasets import load_dataset as plain_load_dataset

from M3IT import Repository
from m3it.publishing.check import check
from m3it.publishing.formats import messages
from m3it.publishing.release import release
from m3it.reading.load import load_dataset


def test_messages_release_is_read_as_conversations_by_others_and_by_a_mixture(source, made, tmp_path):
    from m3it.mixing.mixture import Mixture
    from m3it.mixing.part import Part
    from m3it.rows.messages import to_messages

    run = release(str(source), tmp_path / "made", format="messages")
    assert run["digest"] == made[1]["digest"] and not (tmp_path / "made/data/text").exists()
    assert not [f for f in check(Repository(str(tmp_path / "made"))).findings if f.level == "error"]
    sets = json.loads((tmp_path / "made/dataset_info.json").read_text("utf-8"))  # as LLaMA-Factory looks for it
    assert all((tmp_path / "made" / known["file_name"]).is_file() for known in sets.values())
    for name in ("viquae", "nlvr", "okvqa-zh"):
        for split, rows in plain_load_dataset(str(tmp_path / "made"), name, cache_dir=str(tmp_path / "cache")).items():
            expected = load_dataset(str(source), name, split=split, cache_dir=str(tmp_path / "cache"))
            assert f"{name}-{split}" in sets and rows.num_rows == expected.num_rows
            for row, known in zip(rows, expected, strict=True):
                asked = "\n".join(text for text in (known["instruction"], known["inputs"]) if text)
                places = "<image>" * len(known["image_base64_str"])
                user, assistant = row["messages"]
                assert user == {"role": "user", "content": places + asked}
                assert assistant == {"role": "assistant", "content": known["outputs"]}
                assert row["texts"] == [{"user": asked, "assistant": known["outputs"]}]
                assert len(row["images"]) == row["num_images"] == len(known["image_base64_str"])
    theirs = Mixture(None, parts=[Part(str(tmp_path / "made/data/reasoning/nlvr"), split="validation")])
    ours = Mixture(str(source), ["nlvr"], split="validation")
    found, expected = ({row["id"]: (row["images"], to_messages(row)) for row in map(each.row, range(each.num_rows))}
                       for each in (theirs, ours))  # fmt: skip
    assert found == expected and len(found) == ours.num_rows


def test_llamafactory_finds_each_file_as_a_set_of_conversations():
    paths = [f"data/kvqa/viquae/train-0000{i}-of-00002.parquet" for i in range(2)]
    files = messages.beside(
        {"viquae": {"splits": {"train": {"paths": paths}, "test": {"paths": ["data/test.parquet"]}}}}
    )
    sets = json.loads(files["dataset_info.json"])
    assert list(sets) == ["viquae-train-00000-of-00002", "viquae-train-00001-of-00002", "viquae-test"]
    assert sets["viquae-test"] == {
        "file_name": "data/test.parquet",
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
            "system_tag": "system",
        },
    }
