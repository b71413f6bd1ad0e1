"""What is published, opened: configs, models and processors of transformers. No code that comes with them is run.

A folder or a Hub repository may bring Python files (`auto_map` in a config). transformers runs them where it is told
to; where nothing is said, it asks on stdin, and a script with `yes |` before it answers.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from transformers import dynamic_module_utils

from M3IT import is_offline, nearest
from m3it.rows.instance import M3ITError

OURS = ("tiny", "ying")  # models that are made, not opened


def pretrained(kind: Any, name: str | os.PathLike, what: str, **options: Any) -> Any:
    """What `kind`, a class of transformers, makes of a Hub id or a folder; M3ITError where that is no `what`, or needs
    code of its own."""
    with reading(name, what):
        return kind.from_pretrained(os.fspath(name), trust_remote_code=False, **options)


def find_model(name: str | os.PathLike) -> str:
    """The commit of a model of the Hub, as the cache knows it or the Hub says; "" for a folder. M3ITError where there
    is neither: asked once, so that a wrong path does not wait for a network."""
    name = os.fspath(name)
    if Path(name).is_dir():
        return ""
    for file in ("config.json", "adapter_config.json"):
        try:
            if isinstance(cached := try_to_load_from_cache(name, file), str):
                return Path(cached).parent.name
        except HFValidationError:
            break
    try:
        if is_offline():
            raise OSError("HF_HUB_OFFLINE or HF_DATASETS_OFFLINE is set")
        return HfApi().model_info(name, timeout=20).sha or ""
    except (HFValidationError, RepositoryNotFoundError) as error:
        near = nearest(name, OURS)
        hint = f" Did you mean {near!r}?" if near else ""
        raise M3ITError(f"{name}: there is no such folder, and no model of this name on the Hub.{hint}") from error
    except Exception as error:  # any: no network fails in the words of whatever library meets it first
        found = " ".join(str(error).split())[:200]
        raise M3ITError(f"{name}: there is no such folder, and the Hub cannot be asked ({found}).") from error


@contextmanager
def reading(name: str | os.PathLike, what: str, hint: str = "") -> Iterator[None]:
    """Within, nobody is asked whether to run code, and an error is one about this Hub id or folder, which should be a
    `what`: an M3ITError of one sentence."""
    find_model(name)
    try:
        with nobody_asked():
            yield
    except M3ITError:
        raise
    except Exception as error:  # any: a broken file ends in whatever the code of five libraries happens to raise
        if "trust_remote_code" in str(error):
            raise M3ITError(
                f"{os.fspath(name)}: needs Python code that comes with it, and no remote code runs here. Use a model "
                "whose classes are part of transformers."
            ) from error
        reason = " ".join(str(error).strip().split("\n")[0].split())[:200] or type(error).__name__
        raise M3ITError(
            f"{os.fspath(name)}: cannot be loaded as {what} ({reason}). Expected a Hub id or a folder of one{hint}."
        ) from error


@contextmanager
def nobody_asked() -> Iterator[None]:
    """Within, what needs code of its own fails at once. Saying so to the outermost class is not enough: a LLaVA opens
    its vision encoder with nothing said, and that would ask."""
    seconds = dynamic_module_utils.TIME_OUT_REMOTE_CODE  # to wait for an answer
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = seconds
