"""The server of the page: on this machine alone, with no network, and with nothing but the page and its rows.

In: `Pages`.  Out: the page, served until Ctrl-C.
"""

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from m3it.rows.instance import M3ITError
from m3it.showing.browse.app import build
from m3it.showing.browse.pages import Pages

HOST = "127.0.0.1"
# What a browser may ask for. Gradio would serve and take files, too.
OPEN_PATHS = ("/assets/", "/static/", "/svelte/", "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/app_id")
OPEN_FILES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/startup-events")
# No other host, whatever a row or Gradio's own page says.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; form-action 'none'; base-uri 'self'"
)

Served = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def serve(pages: Pages, port: int, tell: Callable[[str], None]) -> None:
    """Serve the page on this machine until Ctrl-C; `tell` gets its address. Port 0: any that is free."""
    program = program_of(pages)
    import uvicorn

    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind((HOST, port))
        except OSError as error:
            told = f"port {port} cannot be used ({error.strerror})"
            raise M3ITError(f"{told}. Pass another one, or 0 for any that is free: --port 0") from error
        tell(f"http://{HOST}:{opened.getsockname()[1]}")
        uvicorn.Server(uvicorn.Config(program, log_level="warning")).run([opened])


def program_of(pages: Pages) -> Served:
    """The page as a program that a server runs."""
    page = build(pages)
    import gradio as gr
    from fastapi import FastAPI

    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    css = Path(__file__).with_name("page.css").read_text("utf-8")
    head = f"<style>{css}</style>"  # as it stands: what Gradio takes as css it rewrites
    more: dict[str, Any] = {"theme": theme, "head": head, "footer_links": [], "ssr_mode": False, "run_history": False}
    return guarded(gr.mount_gradio_app(FastAPI(openapi_url=None), page, "/", HOST, **more))


def guarded(program: Served) -> Served:
    """The program behind a door: only to this machine by its own name, only the page and its data, no file, no upload;
    and the browser is told to ask no other host."""

    async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def send_guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told = ((b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer"))
                message = {**message, "headers": [*message["headers"], *told]}
            await send(message)

        if scope["type"] == "lifespan" or (scope["type"] == "http" and _is_open(scope)):
            await program(scope, receive, send_guarded)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"There is nothing here but the page of rows."})

    return answer


def _is_open(scope: dict[str, Any]) -> bool:
    """Whether a request is for the page or its data, by a name of this machine: another name may lead here, too."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    path = scope["path"]
    is_here = host.partition(":")[0] in (HOST, "localhost")
    return is_here and (path in OPEN_FILES or path.startswith(OPEN_PATHS)) and ".." not in path
