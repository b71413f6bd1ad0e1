"""The command line in this process, as a fixture."""

import sys

import pytest

from m3it.cli import main


@pytest.fixture
def m3it(monkeypatch, capsys):
    """Run a command: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["m3it", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run
