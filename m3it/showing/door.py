"""The door of our pages in the browser: on this machine alone, with no network, and with nothing but the page.

In: a page of Gradio.  Out: the page, served until Ctrl-C. A Hugging Face Space runs in a container whose door is the
Hub's: there the page answers to every name and may stand in a frame of the Hub.
"""

import inspect
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m3it.rows.instance import M3ITError
from m3it.work.extras import install

HOST = "127.0.0.1"
# What a browser may ask for. Gradio would serve and take files, too.
OPEN_PATHS = ("/assets/", "/static/", "/svelte/", "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/app_id")
OPEN_FILES = (
    *("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json"),
    *("/gradio_api/startup-events", "/gradio_api/cancel"),
)
MAX_BODY_BYTES = 32_000_000  # of a request: pictures come in it, as base64
FRAMES, FRAMES_OF_SPACE = "'none'", "https://huggingface.co https://*.hf.space"  # pages that may hold this one
# No other host, whatever a row, a model or Gradio's own page says.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; form-action 'none'; base-uri 'self'; frame-ancestors "
)

Served = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def load_gradio(command: str) -> Any:
    """Gradio, without its telemetry; M3ITError where it is not installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    try:
        with _no_stubs():
            import gradio
    except ImportError as error:
        raise M3ITError(f"m3it {command} needs Gradio: {install('demo')}") from error
    return gradio


@contextmanager
def _no_stubs() -> Iterator[None]:
    """Let Gradio write no type stubs into its own folder. It does so for each component whenever it is imported, which
    takes two fifths of the time; where it finds no file of a component, it leaves that out."""
    getfile = inspect.getfile

    def found(object: Any) -> str:
        if sys._getframe(1).f_code.co_name == "create_or_modify_pyi":
            raise OSError("no stubs are wanted")
        return getfile(object)

    inspect.getfile = found
    try:
        yield
    finally:
        inspect.getfile = getfile


def serve(page: Any, port: int, tell: Callable[[str], None], in_space: bool = False) -> None:
    """Serve the page until Ctrl-C; `tell` gets its address. Port 0: any that is free."""
    import uvicorn

    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(("0.0.0.0" if in_space else HOST, port))
        except OSError as error:
            told = f"port {port} cannot be used ({error.strerror})"
            raise M3ITError(f"{told}. Pass another one, or 0 for any that is free: --port 0") from error
        tell(f"http://{HOST}:{opened.getsockname()[1]}")
        uvicorn.Server(uvicorn.Config(program_of(page, in_space), log_level="warning")).run([opened])


def program_of(page: Any, in_space: bool = False) -> Served:
    """The page as a program that a server runs."""
    import gradio as gr
    from fastapi import FastAPI

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    blue = {"button_primary_background_fill": "#1d4ed8", "button_primary_background_fill_hover": "#1e40af"}
    theme = theme.set(**blue, **{f"{name}_dark": value for name, value in blue.items()})  # to be read by everybody
    css = Path(__file__).with_suffix(".css").read_text("utf-8")
    head = f"<style>{css}</style>"  # as it stands: what Gradio takes as css it rewrites
    more: dict[str, Any] = {"theme": theme, "head": head, "footer_links": [], "ssr_mode": False, "run_history": False}
    return guarded(gr.mount_gradio_app(FastAPI(openapi_url=None), page, "/", HOST, **more), in_space)


def guarded(program: Served, in_space: bool = False) -> Served:
    """The program behind a door: only to this machine by its own name, only the page and its data, no file, no large
    request; and the browser is told to ask no other host."""
    policy = (POLICY + (FRAMES_OF_SPACE if in_space else FRAMES)).encode()

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        num_bytes = 0

        async def receive_bounded() -> Any:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            return message if num_bytes <= MAX_BODY_BYTES else {"type": "http.disconnect"}

        async def send_guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told = ((b"content-security-policy", policy), (b"referrer-policy", b"no-referrer"))
                message = {**message, "headers": [*message["headers"], *told]}
            await send(message)

        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope, in_space)):
            await program(scope, receive_bounded, send_guarded)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"There is nothing here but the page."})

    return answer


def _is_open(scope: dict[str, Any], in_space: bool) -> bool:
    """Whether a request is for the page or its data, by a name of this machine: another name may lead here, too."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    path = scope["path"]
    is_here = in_space or host.partition(":")[0] in (HOST, "localhost")
    return is_here and (path in OPEN_FILES or path.startswith(OPEN_PATHS)) and ".." not in path
