"""`import m3it` as a user's machine does it: installed, from any working folder."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec

import pytest
from conftest import ROOT

import m3it

USUAL = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
IMPORTED = {**USUAL, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked: what pip would put into site-packages."""
    pytest.importorskip("setuptools", reason="builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("M3IT.py", "README.md", "LICENSE", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "m3it", folder / "m3it", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", "built", "."]
    subprocess.run(command, cwd=folder, check=True, env=USUAL)
    zipfile.ZipFile(next((folder / "built").glob("*.whl"))).extractall(folder / "site")
    return folder / "site"


def test_the_sdist_holds_all_that_its_tests_need(tmp_path):
    pytest.importorskip("setuptools", reason="builds the sdist")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, text=True, capture_output=True)
    if listed.returncode:
        pytest.skip("not a clone: which files belong to it is not known")
    names = [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    program = "from setuptools.build_meta import build_sdist; build_sdist('built')"
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, env=USUAL, capture_output=True)
    with tarfile.open(next((tmp_path / "built").glob("*.tar.gz"))) as packed:
        held = {name.partition("/")[2] for name in packed.getnames()}
    assert {name for name in names if not name.startswith(".")} <= held


@pytest.mark.parametrize("install", ["editable", "wheel"])
@pytest.mark.parametrize("holds", ["the clone", "an empty M3IT/", "an older M3IT.py", "a package M3IT"])
def test_the_working_folder_does_not_hide_the_dataset(tmp_path, request, install, holds):
    if holds == "the clone":
        (tmp_path / "M3IT").symlink_to(ROOT)
    elif holds == "an older M3IT.py":
        (tmp_path / "M3IT.py").write_text("raise AssertionError('the wrong one')")
    else:
        (tmp_path / "M3IT").mkdir()
        if holds == "a package M3IT":
            (tmp_path / "M3IT/__init__.py").touch()
    site = request.getfixturevalue("wheel") if install == "wheel" else ROOT
    environ = {**USUAL, "PYTHONPATH": str(site)} if install == "wheel" else USUAL
    program = "from m3it import CATALOGUE, load_dataset; import M3IT; print(len(CATALOGUE), M3IT.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == (f"40 {site / 'M3IT.py'}\n", "")


def test_another_dataset_that_was_imported_before_gives_way(tmp_path):
    (tmp_path / "M3IT.py").write_text("CATALOGUE = {}")
    program = "import M3IT, m3it; from M3IT import CATALOGUE; print(len(CATALOGUE), len(m3it.CATALOGUE))"
    environ = {**USUAL, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environ, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("40 40\n", "")


def test_a_class_of_the_dataset_is_one_class_by_every_way(tmp_path):
    program = "import m3it, M3IT, m3it.reading.load as load; print(m3it.M3IT is M3IT.M3IT is load.M3IT)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=IMPORTED, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_importing_brings_nothing_heavy_and_every_name_comes_when_asked_for():
    program = "import sys, m3it; print({'datasets', 'numpy', 'torch', 'typer'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], env=IMPORTED, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
    assert dir(m3it) == sorted(m3it.__all__) and {*m3it._HOME, "__version__"} == {*m3it.__all__}
    for name in m3it.__all__:
        if name in {"Collator", "Mixture"} and not find_spec("torch"):
            with pytest.raises(m3it.M3ITError, match=r"needs? PyTorch.*: pip install .*\[train\]'"):
                getattr(m3it, name)
        else:
            assert getattr(m3it, name) is not None
    with pytest.raises(AttributeError, match="module 'm3it' has no attribute 'load_datasets'"):
        m3it.load_datasets  # noqa: B018


def test_the_wheel_says_that_it_is_typed(wheel):
    assert (wheel / "m3it/py.typed").exists() and (wheel / "m3it/instructions/okvqa.txt").exists()
