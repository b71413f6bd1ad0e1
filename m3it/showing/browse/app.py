"""The page in the browser, by Gradio: controls that say a `View`, and the cards of its page.

The address in the browser says the view, too, so that it can be sent.
"""

from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from m3it.rows.instance import M3ITError
from m3it.showing.browse.cards import cards_html, note_html
from m3it.showing.browse.pages import MARKS, Page, Pages, View
from m3it.showing.door import load_gradio

KNOWN = (M3ITError, OSError, ValueError)  # what is said in a sentence above the rows
NAMES = ("config", *View._fields[1:])  # of the address
# Writes the view into the address, beside what Gradio keeps there; going back in the browser reads it again.
TO_ADDRESS = """address => {
  const url = new URL(location), own = %s;
  own.forEach(name => url.searchParams.delete(name));
  new URLSearchParams(address).forEach((value, name) => url.searchParams.set(name, value));
  if (address && url.href !== location.href) history.pushState(null, "", url);
  window.onpopstate = () => location.reload();
}"""


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

    def chosen(self, view: View, **chosen: str) -> View:
        """The view after a choice of task, dataset or language: the rest stays as far as there is such a config, what
        stands more to the left before what stands right of it."""
        every = list(self.entries.values())
        wanted = self.entries.get(view.config, every[0])._replace(**chosen)
        for name in ("task", "dataset", "language") if "task" in chosen else ("dataset", "language"):
            every = [entry for entry in every if getattr(entry, name) == getattr(wanted, name)] or every
        config = every[0].config
        if config == view.config:
            return view
        split = view.split if view.split in self.pages.splits(config) else ""
        return View(config, split, search=view.search, pictures=view.pictures)


def build(pages: Pages) -> Any:
    """The page as Gradio's Blocks."""
    gr = load_gradio("browse")
    with gr.Blocks(title="M3IT rows", analytics_enabled=False) as page:
        _listen(page, _lay_out(pages), pages)
    return page


def _lay_out(pages: Pages) -> SimpleNamespace:
    """The components of the page, by their names."""
    import gradio as gr

    made = SimpleNamespace()
    gr.HTML("<h1>M3IT: rows</h1>", js_on_load=None)
    with gr.Row():
        made.task = gr.Dropdown(Controls(pages).tasks(), label="Task", min_width=160)
        made.dataset = gr.Dropdown([], label="Dataset", min_width=180)
        made.language = gr.Dropdown([], label="Language", min_width=110)
        made.split = gr.Dropdown([], label="Split", min_width=120)
        made.beside = gr.Dropdown([], label="Side by side with", min_width=150)
    with gr.Row():
        made.search = gr.Textbox(label="Search in texts", placeholder="then Enter", min_width=180)
        made.pictures = gr.Dropdown(_either(map(str, range(9))), label="Pictures in a row", min_width=110)
        made.answers = gr.Dropdown(_either(MARKS), label="Answers", min_width=110, visible=bool(pages.runs))
        made.row = gr.Textbox(label="Row number", placeholder="then Enter", min_width=110)
        made.row_id = gr.Textbox(label="Row id", placeholder="then Enter", min_width=140)
    with gr.Row():
        made.before = gr.Button("← Previous", size="sm", min_width=90)
        made.after = gr.Button("Next →", size="sm", min_width=90)
        made.random = gr.Button("Random row", size="sm", min_width=90)
    made.note = gr.HTML(js_on_load=None)
    made.cards = gr.HTML(js_on_load=None, padding=False)
    made.address = gr.Textbox(visible=False)
    made.view, made.next_row = gr.State(View()), gr.State(0)
    return made


def _filled(made: SimpleNamespace, pages: Pages, found: Page) -> dict[Any, Any]:
    """What each component is to say for a page."""
    import gradio as gr

    view, entry, controls = found.view, pages.entries[found.view.config], Controls(pages)
    others = pages.languages(view.config)
    return {
        made.task: entry.task,
        made.dataset: gr.update(choices=controls.datasets(entry.task), value=entry.dataset),
        made.language: gr.update(choices=controls.languages(entry.dataset), value=entry.language),
        made.split: gr.update(choices=pages.splits(view.config), value=view.split),
        made.beside: gr.update(choices=_either(others, "none"), value=view.beside, visible=bool(others)),
        made.search: view.search,
        made.pictures: view.pictures,
        made.answers: view.answers,
        made.row: str(view.row),
        made.before: gr.update(interactive=found.before is not None),
        made.after: gr.update(interactive=found.after is not None),
        made.note: note_html(found.told),
        made.cards: cards_html(found.cards, pages.entries),
        made.address: to_address(view),
        made.view: view,
        made.next_row: found.after or 0,
    }


def _listen(page: Any, made: SimpleNamespace, pages: Pages) -> None:
    """Let each event show another view. An event asks for it by what the components say."""
    import gradio as gr

    def show(view: View, progress: Any) -> dict[Any, Any]:
        found = pages.read(view, lambda number: progress((number, None), desc="looking", unit="rows"))
        return _filled(made, pages, found)

    def on(listen: Any, ask: Callable[..., View], *parts: Any) -> None:
        """Show what `ask` makes of the view before and of some components: of these alone, since what another one
        says may have changed while the event was on its way. It gives the same view back where nothing is chosen: to
        Gradio it is input, too, if one passes a list with Tab."""

        def handle(given: dict[Any, Any], request: gr.Request, progress: Any = gr.Progress()) -> dict[Any, Any]:  # noqa: B008
            view = given[made.view]
            try:
                asked = ask(view, *[given[part] for part in parts] or [request])
                return {made.view: view} if asked is view else show(asked, progress)
            except KNOWN as error:
                told = {made.note: note_html(str(error), True)}
            if not view.config:  # an address that is wrong: the first page, with the sentence
                with suppress(*KNOWN):
                    return show(View(), progress) | told
            return told

        shown = list(vars(made).values())
        done = listen(handle, {made.view, *parts}, shown, api_visibility="private", show_progress_on=[made.note])
        done.then(None, [made.address], None, js=TO_ADDRESS % list(NAMES), api_visibility="private")

    def changes(name: str, **more: Any) -> Callable[[View, Any], View]:
        """The view with one part of it as a component says it."""
        return lambda view, said: view._replace(**{**more, name: said or ""})

    def chooses(name: str, **more: Any) -> Callable[[View, Any], View]:
        """The same of a list."""
        change = changes(name, **more)
        return lambda view, said: view if getattr(view, name) == (said or "") else change(view, said)

    on(page.load, lambda _, request: of_address(dict(request.query_params)))
    on(made.task.input, lambda view, name: Controls(pages).chosen(view, task=name), made.task)
    on(made.dataset.input, lambda view, name: Controls(pages).chosen(view, dataset=name), made.dataset)
    on(made.language.input, lambda view, code: Controls(pages).chosen(view, language=code), made.language)
    on(made.split.input, chooses("split", row=0), made.split)
    on(made.beside.input, chooses("beside"), made.beside)
    on(made.search.submit, changes("search", row=0), made.search)
    on(made.pictures.input, chooses("pictures", row=0), made.pictures)
    on(made.answers.input, chooses("answers", row=0), made.answers)
    on(made.row.submit, lambda view, said: of_address({**view._asdict(), "row": said.strip()}), made.row)
    on(made.row_id.submit, lambda view, said: view._replace(row=pages.find(view, said.strip())), made.row_id)
    on(made.before.click, lambda view, _: view._replace(row=pages.before(view)))
    on(made.after.click, lambda view, number: view._replace(row=number), made.next_row)
    on(made.random.click, lambda view, _: view._replace(row=pages.random(view)))


def _either(names: Any, neither: str = "any") -> list[tuple[str, str]]:
    """The choices of a control that may also say nothing."""
    return [(neither, ""), *((name, name) for name in names)]
