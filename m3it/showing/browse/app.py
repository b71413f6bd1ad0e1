"""The page in the browser, by Gradio, and the server that it comes from: on this machine alone, with no network.

In: `Pages`.  Out: a program to serve.  The controls say a `View`; the address does, too, so that it can be sent.
"""

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from m3it.rows.instance import M3ITError
from m3it.showing.browse.cards import cards_html, note_html
from m3it.showing.browse.pages import MARKS, Pages, View

HOST = "127.0.0.1"
KNOWN = (M3ITError, OSError, ValueError)  # what is said in a sentence above the rows
NAMES = ("config", *View._fields[1:])  # of the address
# What a browser may ask for. Gradio would serve and take files, too.
OPEN_PATHS = ("/assets/", "/static/", "/svelte/", "/gradio_api/queue/", "/gradio_api/heartbeat/", "/gradio_api/app_id")
OPEN_FILES = ("/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/gradio_api/startup-events")
# No other host, whatever a row or Gradio's own page says.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; form-action 'none'; base-uri 'self'"
)
# Writes the view into the address, beside what Gradio keeps there; going back in the browser reads it again.
TO_ADDRESS = """address => {
  const url = new URL(location), own = %s;
  own.forEach(name => url.searchParams.delete(name));
  new URLSearchParams(address).forEach((value, name) => url.searchParams.set(name, value));
  if (address && url.href !== location.href) history.pushState(null, "", url);
  window.onpopstate = () => location.reload();
}"""

Served = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


def to_address(view: View) -> str:
    """The view as the address says it: what differs from the first page of all rows."""
    return urlencode({name: value for name, value in view._asdict().items() if value or name == "row"})


def of_address(said: dict[str, str]) -> View:
    """The view that an address says; M3ITError where a part of it is wrong."""
    row = said.get("row", "0") or "0"
    if not (row.isascii() and row.isdigit() and len(row) < 16):
        raise M3ITError(f"row={row[:40]}: expected a number, such as 17.")
    return View(**{name: said.get(name, "") for name in NAMES if name != "row"}, row=int(row))


class Controls:
    """What the controls of the page are to say for a view."""

    def __init__(self, pages: Pages):
        self.pages, self.entries = pages, pages.entries

    def tasks(self) -> list[str]:
        return list(dict.fromkeys(entry.task for entry in self.entries.values()))

    def datasets(self, task: str) -> list[str]:
        return list(dict.fromkeys(entry.dataset for entry in self.entries.values() if entry.task == task))

    def languages(self, dataset: str) -> list[str]:
        return [entry.language for entry in self.entries.values() if entry.dataset == dataset]

    def config(self, task: str, dataset: str, language: str) -> str:
        """The config of what was chosen: the first one that agrees with most of it, from the left."""
        of_task = [entry for entry in self.entries.values() if entry.task == task]
        of_dataset = [entry for entry in of_task if entry.dataset == dataset] or of_task
        chosen = [entry for entry in of_dataset if entry.language == language] or of_dataset
        return chosen[0].config

    def chosen(self, task: str, dataset: str, language: str, before: View) -> View:
        """The view after a choice of what to look at: the split stays where there is such a one."""
        config = self.config(task, dataset, language)
        if config == before.config:
            return before._replace(row=0)
        split = before.split if before.split in self.pages.splits(config) else ""
        return View(config, split, search=before.search, pictures=before.pictures)


def build(pages: Pages) -> Any:
    """The page as Gradio's Blocks."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    try:
        import gradio as gr
    except ImportError as error:
        raise M3ITError(
            "m3it browse needs Gradio: pip install 'm3it[demo]', of a clone pip install -e '.[demo]'."
        ) from error

    controls = Controls(pages)
    with gr.Blocks(title="M3IT rows", analytics_enabled=False) as page:
        gr.HTML("<h1>M3IT: rows</h1>", js_on_load=None)
        view = gr.State(View())
        with gr.Row():
            task = gr.Dropdown(controls.tasks(), label="Task", min_width=160)
            dataset = gr.Dropdown([], label="Dataset", min_width=180)
            language = gr.Dropdown([], label="Language", min_width=110)
            split = gr.Dropdown([], label="Split", min_width=120)
            beside = gr.Dropdown([], label="Side by side with", min_width=150)
        with gr.Row():
            search = gr.Textbox(label="Search in texts", placeholder="then Enter", min_width=180)
            pictures = gr.Dropdown(_either(map(str, range(9))), label="Pictures in a row", min_width=110)
            answers = gr.Dropdown(_either(MARKS), label="Answers", min_width=110, visible=bool(pages.runs))
            row = gr.Textbox(label="Row number", placeholder="then Enter", min_width=110)
            row_id = gr.Textbox(label="Row id", placeholder="then Enter", min_width=140)
        with gr.Row():
            before = gr.Button("← Previous", size="sm", min_width=90)
            after = gr.Button("Next →", size="sm", min_width=90)
            drawn = gr.Button("Random row", size="sm", min_width=90)
        note = gr.HTML(js_on_load=None)
        cards = gr.HTML(js_on_load=None, padding=False)
        address, begins = gr.Textbox(visible=False), gr.State(None)

        said = [task, dataset, language, split, beside, search, pictures, answers, row]
        shown = [view, *said, note, cards, address, before, after, begins]

        def show(asked: View, progress: Any) -> list[Any]:
            found = pages.read(asked, lambda number: progress((number, None), desc="looking", unit="rows"))
            now, entry = found.view, pages.entries[found.view.config]
            others = pages.languages(now.config)
            choices = [
                gr.update(value=entry.task),
                gr.update(choices=controls.datasets(entry.task), value=entry.dataset),
                gr.update(choices=controls.languages(entry.dataset), value=entry.language),
                gr.update(choices=pages.splits(now.config), value=now.split),
                gr.update(choices=_either(others, "none"), value=now.beside, visible=bool(others)),
                *(now.search, now.pictures, now.answers, str(now.row)),
            ]
            ends = [gr.update(interactive=begin is not None) for begin in (found.before, found.after)]
            html = cards_html(found.cards, pages.entries)
            return [now, *choices, note_html(found.told), html, to_address(now), *ends, found.after]

        given = {view, *said, row_id, begins}

        def on(listen: Any, ask: Callable[[dict[Any, Any], Any], View]) -> None:
            """Let an event show the view that `ask` makes of what the controls say, or what is wrong with it."""

            def handle(given: dict[Any, Any], request: gr.Request, progress: Any = gr.Progress()) -> list[Any]:  # noqa: B008
                try:
                    return show(ask(given, request), progress)
                except KNOWN as error:
                    told = note_html(str(error), True)
                kept = [gr.skip()] * len(shown)
                if not given[view].config:  # an address that is wrong: the first page, with the sentence
                    with suppress(*KNOWN):
                        kept = show(View(), progress)
                kept[1 + len(said)] = told
                return kept

            done = listen(handle, given, shown, api_visibility="private", show_progress_on=[note])
            done.then(None, [address], None, js=TO_ADDRESS % list(NAMES), api_visibility="private")

        def takes(control: Any, name: str) -> Callable[[dict[Any, Any], Any], View]:
            """The view with one part of it changed, from its first row on."""
            return lambda given, _: given[view]._replace(**{"row": 0, name: given[control] or ""})

        on(page.load, lambda _, request: of_address(dict(request.query_params)))
        for control in (task, dataset, language):
            on(control.input, lambda g, _: controls.chosen(g[task], g[dataset], g[language], g[view]))
        for control, name in ((split, "split"), (pictures, "pictures"), (answers, "answers")):
            on(control.input, takes(control, name))
        on(search.submit, takes(search, "search"))
        on(beside.input, lambda given, _: given[view]._replace(beside=given[beside] or ""))
        on(row.submit, lambda given, _: of_address({**given[view]._asdict(), "row": given[row].strip()}))
        on(row_id.submit, lambda given, _: given[view]._replace(row=pages.find(given[view], given[row_id].strip())))
        on(before.click, lambda given, _: given[view]._replace(row=pages.before(given[view])))
        on(after.click, lambda g, _: g[view]._replace(row=g[begins]))
        on(drawn.click, lambda given, _: given[view]._replace(row=pages.random(given[view])))
    return page


def _either(names: Any, neither: str = "any") -> list[tuple[str, str]]:
    """The choices of a control that may also say nothing."""
    return [(neither, ""), *((name, name) for name in names)]


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
