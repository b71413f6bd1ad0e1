"""`nox -s matrix`: the tests of loading under every `datasets` that we promise, each in an environment of its own.
`nox -s trainers clients`: what other people's programs read of our releases, and learn from them."""

import nox

nox.options.sessions = ["matrix"]
TESTS = ["tests/test_m3it.py", "tests/test_face.py", "tests/reading"]
RELEASES = ["tests/publishing/test_readers.py", "-k", "matrix"]  # what plain `datasets` makes of a release
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "packaging", "requests", "setuptools>=70.1"]
# The first environment is the oldest that works, to the patch: its versions are the lower bounds of setup.cfg.
VERSIONS = {
    "2.16.1-then": [
        "datasets==2.16.1",
        "huggingface_hub==0.23.0",
        "fsspec==2023.10.0",
        "pyarrow==14.0.2",
        "numpy==1.26.4",
        "pillow==10.1.0",
        "typer==0.19.2",
        "pyyaml==6.0.1",
    ],
    "2.16.1-now": ["datasets==2.16.1", "pyarrow<21", "numpy<2"],
    "3.6.0": ["datasets==3.6.0"],
    "4.8": ["datasets==4.8.*"],  # the newest is what `pytest` itself runs under
}


@nox.session(venv_backend="venv", reuse_venv=True)
@nox.parametrize("datasets", list(VERSIONS), ids=list(VERSIONS))
def matrix(session: nox.Session, datasets: str) -> None:
    """Load, stream, cut, resume and fail under one version of `datasets`."""
    session.install("-e", ".", *VERSIONS[datasets], *TOOLS)
    session.run("pytest", "-q", *TESTS, *session.posargs)
    session.run("pytest", "-q", *RELEASES)


@nox.session(venv_backend="venv", reuse_venv=True)
@nox.parametrize("trainer", ["ms-swift", "llamafactory"], ids=["ms-swift", "llamafactory"])
def trainers(session: nox.Session, trainer: str) -> None:
    """What other people's trainers read of `m3it release --format messages`."""
    session.install("-e", ".", trainer, env={"PIP_CONSTRAINT": ".ci/constraints.txt"})
    session.run("pip", "uninstall", "-y", "-q", "torchvision", "torchaudio")  # their wheels want CUDA's libraries
    session.run("python", "tests/read_messages.py", trainer)


CLIENTS = {
    "trl": ("trl", "peft"),
    "ms-swift": ("ms-swift",),
    "llamafactory": ("llamafactory",),
    "webdataset": ("webdataset", "torch"),
    "energon": ("megatron-energon",),
    "litdata": ("litdata", "polars"),
}
FETCH = "import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])"
TRL_SCRIPT = "https://raw.githubusercontent.com/huggingface/trl/v{}/examples/scripts/sft_vlm.py"  # not in its package


@nox.session(venv_backend="venv", reuse_venv=True)
@nox.parametrize("client", list(CLIENTS), ids=list(CLIENTS))
def clients(session: nox.Session, client: str) -> None:
    """What other people's programs read of a release, and learn from it: rows and pictures, as they stand."""
    # Not `.[train]`: LLaMA-Factory 0.9.5 holds transformers back (<= 5.6). `pytest`: what our small models import.
    session.install("-e", ".", "pytest", *CLIENTS[client], env={"PIP_CONSTRAINT": ".ci/constraints.txt"})
    session.run("pip", "uninstall", "-y", "-q", "torchvision", "torchaudio")  # their wheels want CUDA's libraries
    session.run("python", "tests/clients.py", client)
    if client == "trl":
        version = session.run("python", "-c", "import trl; print(trl.__version__)", silent=True).strip()
        script = f"{session.create_tmp()}/sft_vlm.py"
        session.run("python", "-c", FETCH, TRL_SCRIPT.format(version), script)
        session.run("python", "tests/clients.py", client, script)


@nox.session(venv_backend="venv", reuse_venv=True)
@nox.parametrize("harness", ["lmms-eval", "inspect"], ids=["lmms-eval", "inspect"])
def harnesses(session: nox.Session, harness: str) -> None:
    """What other people's harnesses make of the files of `m3it tasks`, and what comes back of their logs."""
    packages = {"lmms-eval": ["lmms-eval", "filelock<4", "decord"], "inspect": ["inspect_ai", "openai"]}
    session.install("-e", ".[eval]", "pytest", *packages[harness], env={"PIP_CONSTRAINT": ".ci/constraints.txt"})
    session.run("pip", "uninstall", "-y", "-q", "torchvision", "torchaudio")  # their wheels want CUDA's libraries
    session.run("python", "tests/run_harness.py", harness)
