"""The published repositories in miniature, in folders and on the Hub; no test writes to them."""

import legacy_maker
import pytest

from m3it.reading.published import mappings, raw


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """All of M3IT in miniature."""
    return legacy_maker.m3it(tmp_path_factory.mktemp("legacy") / "repo")


@pytest.fixture(scope="session")
def published_80(tmp_path_factory):
    """All of M3IT-80 in miniature: two languages."""
    return legacy_maker.m3it_80(tmp_path_factory.mktemp("legacy") / "repo80")


@pytest.fixture(scope="session")
def on_hub(hub, published, published_80, tmp_path_factory):
    """Both repositories on the Hub; M3IT with its converted branch."""
    branch = legacy_maker.converted(tmp_path_factory.mktemp("branch"))
    commits = {"M3IT": hub.add("Legacy/M3IT", published), "M3IT-80": hub.add("Legacy/M3IT-80", published_80)}
    hub.add("Legacy/M3IT", branch, ref="refs/convert/parquet")
    return commits


@pytest.fixture
def pinned(monkeypatch):
    """Every choice by hash is the first option, every order the given one."""
    for stage in (raw, mappings):
        monkeypatch.setattr(stage, "choose", lambda options, *names: options[0])
    monkeypatch.setattr(mappings, "shuffled", lambda options, *names: list(options))
