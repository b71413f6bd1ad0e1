"""m3it.work.extras: a hint names what can be installed."""

from conftest import ROOT

from m3it.work import extras


def test_on_a_clone_a_hint_installs_the_clone(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    assert extras.install("eval") == "pip install -e '.[eval]'"
    monkeypatch.chdir(tmp_path)
    assert extras.install("eval") == f"pip install -e '{ROOT}[eval]'"


def test_without_a_clone_a_hint_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "ROOT", tmp_path)
    assert extras.install("eval") == "pip install 'm3it[eval]'"
