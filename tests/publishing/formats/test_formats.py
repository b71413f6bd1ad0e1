"""m3it/publishing/formats/: a format is one module and one row of the table, whatever its files are."""

import types
from contextlib import contextmanager

import pyarrow as pa

from m3it.publishing import formats, parquet, release
from m3it.publishing.columns import FileKind


@contextmanager
def open_answers(path):
    with open(path, "w", encoding="utf-8") as file:
        yield types.SimpleNamespace(
            write=lambda rows, about: file.writelines(f"{about['task']}: {row['outputs']}\n" for row in rows)
        )


def count_lines(file):
    data = file.read()
    return data.count(b"\n"), len(data)


ANSWERS = types.SimpleNamespace(
    KINDS={"answers": FileKind(pa.schema({"text": pa.string()}), open_answers, count_lines, ending="txt")},
    HAS_CONFIGS=True,
    further=None,
    NOTE="Answers alone.",
    SNIPPET="load('{config}')\n",
    beside=lambda configs: {"names.txt": " ".join(configs)},
)


def test_files_of_any_kind_are_written_proved_and_put_on_the_card(source, made, tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, "answers", ANSWERS)
    monkeypatch.setitem(parquet.FILE_KINDS, "answers", ANSWERS.KINDS["answers"])
    monkeypatch.setattr(release, "ACCEPTED_FORMATS", ("answers",))
    run = release.release(str(source), tmp_path / "out", ["nlvr", "viquae"], format="answers")
    lines = (tmp_path / "out/data/reasoning/nlvr/validation.txt").read_text("utf-8").splitlines()
    assert lines == [f"reasoning: answer {i}" for i in range(600, 605)]
    assert run["splits"]["nlvr/validation"] == made[1]["splits"]["nlvr/validation"]
    assert (tmp_path / "out/names.txt").read_text("utf-8") == "viquae nlvr"
    readme = (tmp_path / "out/README.md").read_text("utf-8")
    assert "Answers alone." in readme and "    - data/reasoning/nlvr/validation.txt\n" in readme
