"""What m3it imports is declared in setup.cfg, and what is declared there is imported: held by reading every import."""

import ast
import configparser
import re
import sys

import pytest
from conftest import ROOT

DISTRIBUTION = {
    "PIL": "pillow",
    "yaml": "pyyaml",
    "easy_vqa": "easy-vqa",
    "dateutil": "python-dateutil",
}  # import name -> what pip calls it, where the two differ
NEEDS_EXTRA = {"models": "train", "training": "train"}  # a wing that cannot even be imported without its extra
# Declared but never imported by us: other packages load these when they are there, or a program is started.
LOADED_BY_OTHERS = {
    "trl", "tensorboard",  # a user's own trainer; transformers' Trainer
    "rouge-score",  # what our ROUGE-L is compared with
    "sentencepiece", "protobuf",  # transformers' tokenizers of NLLB, M2M100, MADLAD and LLaMA
}  # fmt: skip


def declared() -> dict[str, dict[str, str]]:
    """ "" and each extra -> distribution -> its bounds, as setup.cfg has them."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", "utf-8")
    lines = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    found = {}
    for extra, text in lines.items():
        requirements = [
            re.fullmatch(r"([\w.-]+)(?:\[\w+\])?(.*)", x.strip()) for x in re.split("[\n;]", text) if x.strip()
        ]
        found[extra] = {match[1].lower(): match[2] for match in requirements if match and match[1] != "m3it"}
    return found


def imports():
    """(file, line, wing, distribution, whether it is imported when the module is) of other people's packages. One that
    stands in a `try` may be missing; one under TYPE_CHECKING is never imported."""
    for path in [ROOT / "M3IT.py", *sorted((ROOT / "m3it").rglob("*.py"))]:
        wing = (*path.relative_to(ROOT).with_suffix("").parts, "")[1]
        for node, at_import in _nodes(ast.parse(path.read_text("utf-8")).body, True):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            for name in dict.fromkeys(name.split(".")[0] for name in names):
                if name not in sys.stdlib_module_names and name not in ("m3it", "M3IT"):
                    yield path.relative_to(ROOT), node.lineno, wing, DISTRIBUTION.get(name, name), at_import


def _nodes(body, at_import):
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, at_import
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _nodes(node.body, False)
        else:
            inside = at_import and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Try)
            for name in ("body", "handlers", "orelse", "finalbody", "cases"):
                yield from _nodes(getattr(node, name, None) or [], inside)


def test_a_package_that_m3it_cannot_be_imported_without_is_installed_with_it():
    base, missing = declared()[""], []
    for path, line, wing, package, at_import in imports():
        extra = declared()[NEEDS_EXTRA[wing]] if wing in NEEDS_EXTRA else {}
        if at_import and package not in base | extra:
            missing.append(f"{path}:{line}: {package}")
    assert not missing, "not in install_requires:\n" + "\n".join(missing)


def test_a_package_that_is_imported_where_it_is_used_is_in_an_extra():
    known = {package for extra, packages in declared().items() if extra != "dev" for package in packages}
    missing = [f"{path}:{line}: {package}" for path, line, _, package, _ in imports() if package not in known]
    assert not missing, "in no extra of setup.cfg:\n" + "\n".join(missing)


def test_no_package_is_declared_that_nothing_imports():
    used = {package for *_, package, _ in imports()} | LOADED_BY_OTHERS
    unused = {package for extra, packages in declared().items() if extra != "dev" for package in packages} - used
    assert not unused


def test_the_dataset_alone_imports_what_a_script_of_the_hub_may():
    found = {package for path, *_, package, _ in imports() if path.name == "M3IT.py"}
    assert found <= {"datasets", "pyarrow", "fsspec", "huggingface_hub", "pillow"}


def test_the_lower_bounds_are_the_versions_of_the_oldest_environment():
    """noxfile.py tests them: `VERSIONS` names its first environment to the patch."""
    nodes = ast.parse((ROOT / "noxfile.py").read_text("utf-8")).body
    (versions,) = (
        ast.literal_eval(n.value) for n in nodes if isinstance(n, ast.Assign) and "VERSIONS" in ast.unparse(n)
    )
    oldest = dict(pin.split("==") for pin in next(iter(versions.values())))
    bounds = {package: bound.removeprefix(">=") for package, bound in declared()[""].items() if bound}
    assert bounds == oldest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import numpy", [True]),
        ("def f():\n    import numpy", [False]),
        ("class A:\n    import numpy", [True]),
        ("try:\n    import numpy\nexcept ImportError:\n    import yaml", [False, False]),
        ("if TYPE_CHECKING:\n    import numpy", [False]),
        ("with a:\n    from numpy import b", [True]),
    ],
)
def test_what_is_imported_with_a_module_is_told_from_what_is_not(text, expected):
    assert [at_import for _, at_import in _nodes(ast.parse(text).body, True)] == expected
