"""README.md, docs/ and CONTRIBUTING.md name what there is: files, imports, commands and their options."""

import ast
import importlib
import os
import posixpath
import re
import shlex
import subprocess
import sys

import pytest
import typer
from conftest import ROOT
from test_layout import MAY_IMPORT

from m3it.cli import app

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"(?:^    .+\n)+", re.MULTILINE)
PATH = re.compile(r"(?<![\w/.:-])((?:m3it|tests|scripts|docs|bench|imgs)/[\w./<>*{},-]*[\w/>])")
DOTTED = re.compile(r"(?<![\w/.@-])(?:m3it|M3IT)(?:\.[A-Za-z_]\w*)+")
EXAMPLE = ("my-set", "my_set")  # the dataset that CONTRIBUTING.md adds


def read(page: str) -> str:
    """The page without the YAML head that README has."""
    return re.sub(r"\A---\n.*?\n---\n", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL)


def python_blocks(page: str):
    return [text for language, text in FENCE.findall(read(page)) if language == "python"]


def shell_lines(page: str):
    """Commands of the page: of its blocks and, in a sentence, between backticks."""
    text = read(page)
    blocks = [block for language, block in FENCE.findall(text) if language in ("", "bash", "sh")]
    rest = FENCE.sub("", text)
    blocks += INDENTED.findall(rest)
    inline = re.findall(r"`(m3it [^`\n]+)`", INDENTED.sub("", rest))
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").split("\n")]
    return [line for line in (*lines, *inline) if re.search(r"(?:^|&& )m3it ", line)]


def commands():
    """name -> the options of each command of the app."""
    group = typer.main.get_command(app)
    return {
        name: {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in group.commands.items()
    } | {"": {"--help", *(flag for parameter in group.params for flag in parameter.opts)}}


def invocations(line: str):
    """(command, options) of each call of m3it in a line of shell."""
    for call in re.split(r"&&|\||;", line):
        words = shlex.split(call, comments=True)
        if words[:1] == ["m3it"]:
            options = [word.split("=")[0] for word in words[1:] if word.startswith("--")]
            yield next((word for word in words[1:2] if not word.startswith("-")), ""), options


def resolve(name: str) -> None:
    """Import a dotted name; ImportError or AttributeError where there is none."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if not ".".join(parts[:length]).startswith(str(error.name)):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    raise ImportError(name)


def entries():
    """(path, what is said of it) of each line of CONTRIBUTING.md's "Files", in order; a folder ends with a slash."""
    tree = re.search(r"^## Files\n\n```\n(.*?)^```$", read("CONTRIBUTING.md"), re.DOTALL | re.MULTILINE)[1]
    lines = re.sub(r"\n {15,}", " ", tree).splitlines()  # a long line goes on below its words
    above: list[str] = []
    for line in lines:
        indent, name, about = re.fullmatch(r"( *)(\S+) +(.*)", line).groups()
        above = [*above[: len(indent) // 2], name]
        yield "".join(above), about


def test_contributing_lists_every_folder_and_module_and_none_that_is_not_there():
    listed: dict[str, set[str]] = {}  # folder -> its modules
    for path, about in entries():
        if path.endswith("/"):
            listed[path] = set(about.rpartition(": ")[2].split(", ")) if ": " in about else set()
        else:
            listed.setdefault(posixpath.dirname(path) + "/", set()).add(posixpath.basename(path).removesuffix(".py"))
    for folder, modules in listed.items():
        assert (ROOT / folder).is_dir(), folder
        if folder.startswith("m3it/") and folder not in ("m3it/instructions/", "m3it/sources/"):
            there = {path.stem for path in (ROOT / folder).glob("*.py") if not path.stem.startswith("__")}
            assert modules == there, (
                f"{folder}: CONTRIBUTING.md's Files and the folder differ by {sorted(modules ^ there)}"
            )
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "m3it").rglob("*.py")} | {"m3it/instructions/"}
    assert {folder for folder in listed if folder.startswith("m3it/")} == folders


def test_contributing_lists_what_is_imported_above_what_imports_it():
    order = [path.removeprefix("m3it/").rstrip("/").removesuffix(".py") for path, _ in entries()]
    for wing, above in MAY_IMPORT.items():
        if wing in order:
            assert all(order.index(name) < order.index(wing) for name in above), wing


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_files_that_there_are(page):
    missing = []
    for path in {*PATH.findall(read(page)), *re.findall(r"\]\((?!https?:)([^)#]+)", read(page))}:
        pattern = re.sub(r"<\w+>", "*", path)
        near = [ROOT / pattern, (ROOT / page).parent / pattern]
        if any(word in path for word in EXAMPLE) or any(place.exists() for place in near):
            continue
        if not any(list(place.parent.glob(place.name)) for place in near if "*" not in str(place.parent)):
            missing.append(path)
    assert not missing, f"{page} names {sorted(missing)}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_what_can_be_imported(page):
    imported = []
    for block in python_blocks(page):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("m3it", "M3IT"):
                imported += [f"{node.module}.{alias.name}" for alias in node.names]
    named = [name for name in DOTTED.findall(read(page)) if not name.endswith(".py")]
    for name in dict.fromkeys((*imported, *named)):
        resolve(name)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_calls_commands_and_options_that_there_are(page):
    known, wrong = commands(), []
    for line in shell_lines(page):
        for command, options in invocations(line):
            if command not in known:
                wrong.append(f"{line}: there is no m3it {command}")
            else:
                wrong += [f"{line}: m3it {command} has no {flag}" for flag in options if flag not in known[command]]
    assert not wrong, f"{page}:\n" + "\n".join(wrong)


def test_the_readers_above_find_what_they_look_for():
    assert len(python_blocks("README.md")) >= 4 and len(shell_lines("README.md")) > 20
    assert len(shell_lines("docs/translate.md")) >= 4 and "m3it/reading/published/table.py" in PATH.findall(
        read("docs/it-broke.md")
    )
    assert list(invocations("pip install m3it && m3it show viquae --images rows.png   # --not")) == [
        ("show", ["--images"])
    ]
    assert list(invocations("m3it list | head; m3it --version")) == [("list", []), ("", ["--version"])]
    with pytest.raises(AttributeError):
        resolve("m3it.rows.jsonl.no_such_name")
    with pytest.raises((ImportError, AttributeError)):
        resolve("m3it.no_such_wing.module")


def test_each_promise_is_held_by_a_test_that_there_is():
    held = re.findall(r"`(test_\w+\.py)::(\w+)`", (ROOT / "docs/promises.md").read_text("utf-8"))
    assert 10 < len(held) <= 20
    for file, name in held:
        found = [path.read_text("utf-8") for path in (ROOT / "tests").rglob(file)]
        assert any(f"def {name}(" in text for text in found), f"{file}::{name}"


def templates():
    """The texts that our code can say, each as its words; None stands for what is put in."""
    for path in [ROOT / "M3IT.py", *(ROOT / "m3it").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else " \0 " for part in node.values]
                yield [None if word == "\0" else word for word in "".join(parts).split()]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value.split()


def says(template, words):
    """How many of the words the template has by itself where it begins with them all; -1 where it does not."""
    if not words:
        return 0
    if not template:
        return -1
    if template[0] is None:  # one word or more
        return max(says(template[1:], words[1:]), says(template, words[1:]))
    rest = says(template[1:], words[1:]) if template[0].strip(".,;:") == words[0].strip(".,;:") else -1
    return rest + 1 if rest >= 0 else -1


def test_the_errors_that_the_page_quotes_are_what_the_code_says():
    table = re.findall(r"^\| (`.+?`.*?) \| ", read("docs/it-broke.md"), re.MULTILINE)
    quoted = [text.strip(" .") for cell in table for text in re.findall(r"`([^`]+)`", cell)]
    ours = [text for text in quoted if not text.startswith(("Dataset scripts", "trust_remote_code", "KeyError", "'"))]
    ours = [text for text in ours if text not in ("test", "text-vqa", "st-vqa")]
    assert len(ours) >= 11
    said = [*templates()]
    for text in ours:
        words = text.split()
        best = max(says(template[start:], words) for template in said for start in range(min(len(template), 30)))
        assert best >= min(2, len(words)) and best >= len(words) / 2, f"{text}: nothing in the code says so"
    assert says(["expected", None, "rows"], ["expected", "3", "rows"]) == 2 and says(["a", "b"], ["a", "c"]) == -1


def test_the_site_is_built_without_a_broken_link(tmp_path):
    pytest.importorskip("mkdocstrings_handlers", reason="builds the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environ, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert "load_dataset" in (tmp_path / "site/api/index.html").read_text("utf-8")
    assert "data:image/png" in (tmp_path / "site/tour/index.html").read_text("utf-8")
    assert (tmp_path / "site/imgs/easy_vqa.png").exists() and (tmp_path / "site/CONTRIBUTING/index.html").exists()
