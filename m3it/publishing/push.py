"""A release -> a dataset repository of the Hub, by huggingface_hub's own upload of folders.

In: a release in a local folder. Out: what will be sent, before anything is; then the repository, compared with the
folder by the names and sizes of its files. What the Hub has already is not sent again: a call after one that was
interrupted goes on.
"""

import glob
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
from huggingface_hub.utils import HfHubHTTPError, filter_repo_objects, validate_repo_id

from m3it.rows.instance import M3ITError

NOT_SENT = [".work/*", ".cache/*", ".*.tmp", "*/.*.tmp"]  # notes of our own, and of huggingface_hub
CARD = "README.md"  # goes last: the Hub shows what it lists
OF_THE_HUB = {".gitattributes"}
FILES_A_COMMIT = 100  # hub-docs storage-limits.md: 50 to 100
HTTPError: Any = HfHubHTTPError.__mro__[1]  # of requests, httpx or httpx2: what this huggingface_hub goes through
ADVICE = {
    401: "Log in with: hf auth login, or set HF_TOKEN",
    403: "Log in with a token that may write there: hf auth login",
    404: "Name your user or an organization that you may write to, and log in: hf auth login",
    413: "Make smaller files with --shard-size",
    429: "Wait five minutes, then call it again: it goes on",
}
AGAIN = "Call it again: it goes on"


class Plan(NamedTuple):
    """What a push sends: path -> bytes, and the requests that it takes, if none is tried twice."""

    repo_id: str
    folder: Path
    files: dict[str, int]
    num_requests: int


class Pushed(NamedTuple):
    """Where a release lies, and the files that lie there without being in it."""

    url: str
    others: list[str]


def refuse_name(repo_id: str) -> None:
    """M3ITError for what is no ORG/NAME on the Hub."""
    try:
        validate_repo_id(repo_id)
    except ValueError as error:
        raise M3ITError(f"--push {repo_id}: expected ORG/NAME. {error}") from error
    if "/" not in repo_id:
        raise M3ITError(f"--push {repo_id}: expected ORG/NAME, your user name or an organization before the slash.")


def plan_push(folder: Path | str, repo_id: str) -> Plan:
    """What has to be sent to make the repository ORG/NAME hold a release; asks nobody. M3ITError where it is none."""
    refuse_name(repo_id)
    root = Path(folder)
    if "://" in str(folder) or not (root / "run.json").is_file():
        raise M3ITError(f"{folder}: expected a release in a folder of this machine. Copy it to a disk first.")
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    files = {path: (root / path).stat().st_size for path in filter_repo_objects(paths, ignore_patterns=NOT_SENT)}
    listing = math.ceil(len(files) / 1000)
    asked = 3 * len(list(commits_of(files)))  # how to send, where to, the commit
    return Plan(repo_id, root, files, 2 + asked + len(files) + listing)  # the repository, and the card's YAML


def push(plan: Plan) -> Pushed:
    """Send a release to the Hub. A repository that is not there is made, a private one; files that are there and not
    in the release stay. M3ITError, in one sentence, where the Hub refuses, cannot be reached, or then holds less."""
    api = huggingface_hub.HfApi()
    try:
        url = str(api.create_repo(plan.repo_id, repo_type="dataset", private=True, exist_ok=True))
        for paths in commits_of(plan.files):
            api.upload_folder(
                repo_id=plan.repo_id,
                repo_type="dataset",
                folder_path=str(plan.folder),
                allow_patterns=list(map(glob.escape, paths)),
                commit_message="Upload a release of m3it",
            )
        listed = api.list_repo_tree(plan.repo_id, recursive=True, repo_type="dataset")
        sizes = {entry.path: entry.size for entry in listed if hasattr(entry, "size")}
    except (HTTPError, OSError, RuntimeError, ValueError) as error:  # hf_xet raises RuntimeError, too
        raise M3ITError(f"{plan.repo_id}: {sentence(error)}") from error
    if lacking := [path for path, size in plan.files.items() if sizes.get(path) != size]:
        found = f"{len(lacking)} of {len(plan.files)} files are not there as they were sent, such as {lacking[0]}"
        raise M3ITError(f"{plan.repo_id}: {found}. {AGAIN}.")
    return Pushed(url, sorted(sizes.keys() - plan.files.keys() - OF_THE_HUB))


def commits_of(files: Iterable[str]) -> Iterator[list[str]]:
    """Yield the files that are sent together, in one commit: what breaks off loses no more. The card is the last, and
    by itself."""
    paths = [path for path in files if path != CARD]
    for start in range(0, len(paths), FILES_A_COMMIT):
        yield paths[start : start + FILES_A_COMMIT]
    yield [CARD]


def sentence(error: Exception) -> str:
    """What went wrong with the Hub, and what to do, without the lines of advice that are huggingface_hub's own."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    why = " ".join(str(error).split()) or type(error).__name__
    if status is None and isinstance(error, ValueError):  # of the head of README.md, which the Hub looks at first
        return f"the Hub refused the card ({why}). Fix what it names."
    if status is None:
        return f"the Hub cannot be reached or broke off ({why}). Is there a network? {AGAIN}."
    said = getattr(error, "server_message", None)  # of the Hub's own answer
    why = f"status {status}" + (f", {' '.join(str(said).split())}" if said else "")
    return f"the Hub refused ({why}). {ADVICE.get(status, AGAIN)}."
