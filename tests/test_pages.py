"""Every command and snippet of README.md, CONTRIBUTING.md and docs/ runs here, or is marked as one that cannot.

Each page gets a folder of its own that looks like a clone. The page's ```bash and ```python blocks run there one after
the other, as a reader would: commands in this process, Python in one namespace. The sample lies at MMInstruction/M3IT,
too, so that what names the Hub's repository reads the sample. A comment on the line above a block marks it; no reader
sees it:

    <!-- not run: needs a network -->     one of REASONS
    <!-- slow -->                         run by `pytest -m slow` alone

and a comment of its own is Python that runs before the next block if that one runs: for what a reader has and this
folder lacks:

    <!-- before
    shutil.copytree(FIXTURES / "nlvr", HOME / "nlvr")
    -->
"""

import base64
import configparser
import io
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import test_docs
from conftest import FIXTURES, ROOT

REASONS = ("needs a network", "needs a GPU", "needs other programs", "takes minutes", "runs until Ctrl-C")
PAGES = test_docs.PAGES
TOUR = ROOT / "docs/tour.ipynb"
CLONE = ("data", "docs", "imgs", "scripts", "README.md", "M3IT.py", "dataset_infos.json")
HUB = ("kvqa/okvqa", "kvqa/viquae", "vqa/vqa-v2", "vqa/shapes", "reasoning/nlvr", "captioning/coco")
BLOCK = re.compile(
    r"^(?:<!-- before\n(?P<before>.*?)^-->\n)?(?:<!-- (?P<mark>[^\n]+) -->\n)?"
    r"```(?P<language>bash|python)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)


class Block(NamedTuple):
    """What a page has between two fences, and where; `before`: Python of a comment above it."""

    line: int
    language: str
    text: str
    mark: str = ""
    before: str = ""


def blocks(page: str) -> list[Block]:
    """The commands and Python of a page, in its order."""
    text = (ROOT / page).read_text("utf-8")
    return [
        Block(
            text.count("\n", 0, match.start("text")),
            match["language"],
            match["text"],
            match["mark"] or "",
            match["before"],
        )
        for match in BLOCK.finditer(text)
    ]


def has_slow(page: str) -> bool:
    return any(block.mark == "slow" for block in blocks(page))


def run_shell(block: str, m3it) -> None:
    """Run the commands of a block; what pip would install is only looked up."""
    for line in block.replace("\\\n", " ").splitlines():
        for command in re.split(r" && ", line):
            words = [os.path.expanduser(word) for word in shlex.split(command, comments=True)]
            if words[:2] == ["pip", "install"]:
                check_extras(words[2:])
            elif words[:1] == ["m3it"]:
                code, _, err = m3it(*words[1:])
                assert code == 0, f"{command}\n{err}"
            else:
                assert not words, f"{command}: m3it and pip install run here, and no other command. Mark the block."


def check_extras(words: list[str]) -> None:
    """A reader installs this clone, with extras that it has, and packages that an extra names."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", "utf-8")
    extras = setup["options.extras_require"]
    packages = {re.split(r"[^\w-]", package)[0] for extra in extras.values() for package in re.split(r"[;\s]+", extra)}
    for word in words:
        asked = re.fullmatch(r"\.(?:\[([\w,]+)\])?", word)
        assert asked or word == "-e" or word in packages, f"pip install {word}: m3it is not on PyPI, so name the clone"
        assert not asked or set((asked[1] or "dev").split(",")) <= set(extras), f"pip install {word}: no such extra"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The folder that a page's reader works in, and a home folder that holds the files of OK-VQA's authors."""
    pytest.importorskip("torch")
    for name in CLONE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (tmp_path / "M3IT").mkdir(exist_ok=True)
        copy(ROOT / name, tmp_path / "M3IT" / name)
    hub = tmp_path / "M3IT/MMInstruction/M3IT"
    for name in HUB:
        shutil.copytree(ROOT / "data" / name, hub / "data" / name)
    shutil.copy(ROOT / "README.md", hub)
    shutil.copytree(FIXTURES / "okvqa", tmp_path / "home/okvqa")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "M3IT")


def run(page: str, m3it, with_slow: bool) -> None:
    """Run a page's blocks in order."""
    names = {"__name__": "__main__", "Path": Path, "shutil": shutil, "FIXTURES": FIXTURES, "HOME": Path.home()}
    for block in blocks(page):
        if block.mark.startswith("not run: ") or block.mark == "slow" and not with_slow:
            continue
        exec(block.before or "", names)
        if block.language == "bash":
            run_shell(block.text, m3it)
        else:
            exec(compile("\n" * block.line + block.text, page, "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_a_page_runs_in_its_order(page, clone, m3it):
    run(page, m3it, with_slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if has_slow(page)])
def test_a_page_runs_with_what_is_slow(page, clone, m3it):
    run(page, m3it, with_slow=True)


@pytest.mark.parametrize("page", PAGES)
def test_a_block_that_does_not_run_says_why(page):
    marks = {block.mark for block in blocks(page)} - {"", "slow"}
    assert marks <= {f"not run: {reason}" for reason in REASONS}, f"{page}: {marks}"


@pytest.mark.parametrize("page", test_docs.PAGES)
def test_no_command_stands_where_it_would_not_run(page):
    """In a block without a language, or in one that is indented."""
    text = test_docs.FENCE.sub(lambda block: "" if block[1] == "bash" else block[2], test_docs.read(page))
    assert not re.findall(r"^ *(?:[A-Z_]+=\S+ )*(?:m3it|pip|accelerate) [^|\n]*$", text, re.MULTILINE)
    assert "\n    >>>" not in text and not re.search(r"^ {4,}(?:from|import|load_dataset)\b", text, re.MULTILINE)


def display(picture) -> None:
    """IPython's, of a picture: into the output of the cell that runs."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    data = {"image/png": base64.b64encode(file.getvalue()).decode()}
    display.shown.append({"data": data, "metadata": {}, "output_type": "display_data"})


def test_the_tour_runs_and_shows_what_it_has_stored(clone, m3it, capsys, monkeypatch):
    """WRITE=1 stores what the cells show. A cell with the tag "varies" (a model, a time) may show something else."""
    monkeypatch.chdir("docs")
    names = {"__name__": "__main__", "display": display}
    tour = json.loads(TOUR.read_text("utf-8"))
    cells = [cell for cell in tour["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        source, display.shown = "".join(cell["source"]), []
        capsys.readouterr()
        if source.startswith("!"):
            code, text, err = m3it(*shlex.split(source.format_map(names))[1:])
            assert code == 0, err
        else:
            exec(source, names)
            text = capsys.readouterr().out
        said = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}] if text else []
        if os.environ.get("WRITE"):
            cell.update(outputs=said + display.shown, execution_count=number)
        assert "varies" in cell["metadata"].get("tags", ()) or cell["outputs"] == said + display.shown, source
    if os.environ.get("WRITE"):
        TOUR.write_text(json.dumps(tour, indent=1, ensure_ascii=False) + "\n", "utf-8")
    assert len(cells) == 15 and TOUR.stat().st_size < 200_000


if __name__ == "__main__":  # which blocks do not run, and why
    for page in PAGES:
        for block in blocks(page):
            print(f"{page}:{block.line}: {block.mark or 'runs'}")
