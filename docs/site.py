"""For mkdocs: what pages below docs/ link to above it, as a code host shows it, and the notebook become pages, too."""

import json
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
ABOVE = ("CONTRIBUTING.md", "CHANGELOG.md", "scripts/paper.sh", "imgs/*.png")


def on_files(files: Any, config: Any) -> Any:
    """Add the files above docs/ that pages link to, and the notebook as a page."""
    for path in sorted(path for pattern in ABOVE for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    cells = json.loads((ROOT / "docs/tour.ipynb").read_text("utf-8"))["cells"]
    files.append(File.generated(config, "tour.md", content="\n\n".join(map(as_markdown, cells))))
    return files


def as_markdown(cell: dict[str, Any]) -> str:
    """A cell of a notebook, with what it showed below it."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    shown = [f"```{'bash' if source.startswith('!') else 'python'}\n{source.removeprefix('!')}\n```"]
    for output in cell["outputs"]:
        if "text" in output:
            shown.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
        else:
            shown.append(f'<img alt="" src="data:image/png;base64,{output["data"]["image/png"]}">')
    return "\n\n".join(shown)


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn a link to such a file, or from one of them to docs/, into one within the site."""
    if page.file.src_uri in ABOVE:
        return re.sub(r"\]\((?:docs/|(?:README\.md|LICENSE)\))", lambda found: found[0].replace("docs/", ""), markdown)
    return re.sub(r"\]\(\.\./", "](", markdown).replace("](tour.ipynb)", "](tour.md)")
