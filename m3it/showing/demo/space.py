"""A Hugging Face Space that asks a model of the Hub: a folder to upload.

In: a model's Hub id.  Out: app.py, which builds the same page as `m3it demo`; requirements.txt; README.md, whose YAML
head tells the Hub how to run it (https://huggingface.co/docs/hub/spaces-config-reference).
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub.utils import HFValidationError, validate_repo_id

from m3it.rows.instance import M3ITError
from m3it.work.folder import refuse_other, write_text

APP = '''"""A model asked about pictures: the page of `m3it demo`, in a Space."""

import os

from m3it.showing.demo.app import build
from m3it.showing.demo.rounds import load_models
from m3it.showing.door import serve

MODEL = os.environ.get("MODEL", {model!r})  # a variable in the Space's settings names another one
PORT = int(os.environ.get("GRADIO_SERVER_PORT", "7860"))

serve(build(load_models([MODEL])), PORT, print, in_space=True)
'''
README = """---
title: Ask {title}
emoji: 🖼️
colorFrom: blue
colorTo: green
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
{models}---

Ask {told} about pictures. The page is that of `m3it demo`, of [M3IT](https://huggingface.co/datasets/MMInstruction/M3IT).
Pictures and questions are sent to this Space, and are kept nowhere.
"""
REQUIREMENTS = """m3it[demo,train] @ git+https://huggingface.co/datasets/MMInstruction/M3IT
"""
GRADIO = "6.31.0"  # what the page was tried with, where none is installed


def write_space(folder: Path, model: str | None) -> None:
    """Write the folder of a Space. Without a model its variable MODEL names one."""
    try:
        validate_repo_id(model or "a/b")
        is_path = bool(model) and Path(str(model)).exists()
    except (HFValidationError, OSError):
        is_path = True
    if is_path:
        told = f"{model}: expected the Hub id of a model, such as org/name"
        raise M3ITError(f"{told}. A Space has its model from the Hub: upload it there (hf upload), and pass its id.")
    try:
        gradio = version("gradio")
    except PackageNotFoundError:
        gradio = GRADIO
    title = model.rpartition("/")[2] if model else "a model"
    told = f"[{model}](https://huggingface.co/{model})" if model else "the model that the variable MODEL names"
    head = {"title": title, "told": told, "models": f"models: [{model}]\n" if model else "", "gradio": gradio}
    files = {"app.py": APP.format(model=model or ""), "requirements.txt": REQUIREMENTS}
    files["README.md"] = README.format(**head)
    for name, start in (
        ("app.py", b'"""A model asked'),
        ("requirements.txt", b"m3it["),
        ("README.md", b"---\ntitle: Ask"),
    ):
        refuse_other(folder / name, start, "part of a Space")
    for name, text in files.items():
        write_text(folder / name, text)
