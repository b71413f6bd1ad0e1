"""`import m3it` as a user's machine does it: installed, from any working folder."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT

USUAL = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


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
