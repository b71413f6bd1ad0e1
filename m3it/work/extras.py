"""What to install where a package of an extra is missing."""

import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of a clone: there lies setup.cfg, and nothing beside an installed package


def install(extra: str) -> str:
    """The command that installs an extra: into a clone, or from the package's name."""
    if not (ROOT / "setup.cfg").exists():
        return f"pip install 'm3it[{extra}]'"
    here = "." if Path.cwd() == ROOT else str(ROOT)
    return f"pip install -e {shlex.quote(f'{here}[{extra}]')}"
