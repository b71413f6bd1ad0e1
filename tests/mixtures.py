"""Small sets to mix, and mixtures read as the processes of a job and their workers read them."""

import itertools
import os
import pickle
import socket
import subprocess
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
from conftest import ROOT, picture

from m3it.mixing import loaders
from m3it.mixing.mixture import Mixture
from m3it.mixing.part import Part


def write_parquet(path, rows, row_group_size=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


def texts_row(number, turns=1):
    """A row as FineVision has them."""
    said = [{"user": f"Question {number}.{k}?", "assistant": f"Answer {number}.{k}"} for k in range(turns)]
    return {"images": [{"bytes": picture(number), "path": None}], "texts": said}


def messages_row(number, **changes):
    """A row as TRL has them."""
    asked = [{"type": "image", "text": None}, {"type": "text", "text": f"What is {number}?"}]
    answer = [{"type": "text", "text": f"answer {number}"}]
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return {"images": [{"bytes": picture(number), "path": None}], "messages": messages, **changes}


def mix_of(folder, **options):
    fine = Part(str(folder / "fine"), "ai2d")
    return Mixture(folder / "ours", **{"parts": [fine], "batch_size": 4, **options})


def ids(rows):
    return [f"{row['dataset']} {row['id']}" for row in rows]


def take(mixture, count):
    return ids(itertools.islice(mixture, count))


def read_ranks(monkeypatch, mixture, world_size, num_workers, num_batches, batch_size=None):
    """The row ids of some steps, in the order of the sequence, read as processes with workers read them: each worker
    has a mixture of its own, and a DataLoader takes one item of each in turn."""
    streams = []
    for rank in range(world_size):
        workers = []
        for worker in range(max(1, num_workers)):
            own = loaders.Batches(
                pickle.loads(pickle.dumps(mixture)), batch_size or mixture.batch_size, rank, world_size, num_batches
            )
            info = SimpleNamespace(id=worker, num_workers=num_workers) if num_workers else None
            monkeypatch.setattr(loaders, "get_worker_info", lambda info=info: info)
            workers.append(list(own))
        turns = [turn for turns in itertools.zip_longest(*workers) for turn in turns]
        streams.append([ids(turn) for turn in turns if turn is not None])
        assert len(streams[-1]) == num_batches
    return [row_id for step in zip(*streams, strict=True) for batch in step for row_id in batch]


def launch(code, world_size, *arguments, wait=True, **environ):
    """Start the processes of a distributed job on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    shared |= {"PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", **environ}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    processes = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(world_size)
    ]
    if wait:
        assert [process.wait() for process in processes] == [0] * world_size
    return processes
