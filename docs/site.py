"""For mkdocs: pages below docs/ link to files above it, as a code host shows them; the site takes those in."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ABOVE = ("CONTRIBUTING.md", "CHANGELOG.md", "scripts/paper.sh", "imgs/*.png")


def on_files(files: Any, config: Any) -> Any:
    """Add the files above docs/ that pages link to."""
    for path in sorted(path for pattern in ABOVE for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn a link to such a file, or from one of them to docs/, into one within the site."""
    if page.file.src_uri in ABOVE:
        return re.sub(r"\]\((?:docs/|(?:README\.md|LICENSE)\))", lambda found: found[0].replace("docs/", ""), markdown)
    return re.sub(r"\]\(\.\./", "](", markdown)
