"""The folders of m3it/ are its architecture: which wing may import which, held against every import that there is."""

import ast

import pytest
from conftest import ROOT

GROUND = {"M3IT", "rows", "catalogue", "work"}
MAY_IMPORT = {
    "M3IT": set(),
    "rows": {"M3IT"},
    "catalogue": {"M3IT", "rows"},
    "work": {"M3IT", "rows"},
    "reading": GROUND,
    "sources": GROUND,
    "models": GROUND,
    "making": GROUND | {"sources"},
    "translating": GROUND | {"reading", "models"},
    "publishing": GROUND | {"reading"},
    "mixing": GROUND | {"reading"},
    "curating": GROUND | {"reading"},
    "training": GROUND | {"mixing", "models"},
    "evaluating": GROUND | {"reading", "models"},
    "showing": GROUND | {"reading", "evaluating"},
}


def wing_of(module: str) -> str:
    """The wing, or the module of the top floor, that a dotted name lies in; "" for other people's packages."""
    top, *rest = module.split(".")
    return "M3IT" if top == "M3IT" else "" if top != "m3it" else rest[0] if rest else "m3it"


def imports():
    """(file, line, importing wing, imported module) of every import, in functions and under TYPE_CHECKING too."""
    for path in [ROOT / "M3IT.py", *sorted((ROOT / "m3it").rglob("*.py"))]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}:{node.lineno}: a relative import"
                folder = ROOT.joinpath(*node.module.split("."))  # from m3it.sources import shapes: the module shapes
                within = [f"{node.module}.{a.name}" for a in node.names if folder.joinpath(f"{a.name}.py").exists()]
                names = within or [node.module]
            for name in names:
                yield path.relative_to(ROOT), node.lineno, wing_of(".".join(parts)), name


def test_no_import_runs_upward():
    wrong = [
        f"{path}:{line}: {wing} imports {name}"
        for path, line, wing, name in imports()
        if wing in MAY_IMPORT and wing_of(name) and wing_of(name) not in MAY_IMPORT[wing] | {wing}
    ]
    assert not wrong, "\n".join(wrong)


def test_every_folder_has_its_place_in_the_table():
    wings = {path.name.removesuffix(".py") for path in (ROOT / "m3it").iterdir() if not path.name.startswith("__")}
    assert wings - {"instructions", "py.typed"} == {*MAY_IMPORT} - {"M3IT"} | {
        "cli",
        "commands",
        "quickstart",
    }


def test_modules_import_each_other_in_no_circle():
    arrows: dict[str, set[str]] = {}
    for path, _, _, name in imports():
        if wing_of(name):
            arrows.setdefault(".".join(path.with_suffix("").parts).removesuffix(".__init__"), set()).add(name)
    arrows.pop("m3it")  # the face names all, lazily where they are heavy
    done: set[str] = set()

    def walk(module: str, above: tuple[str, ...]) -> None:
        if module in above:
            pytest.fail(" -> ".join((*above[above.index(module) :], module)))
        if module not in done:
            for name in sorted(arrows.get(module, ())):
                walk(name, (*above, module))
            done.add(module)

    for module in sorted(arrows):
        walk(module, ())
