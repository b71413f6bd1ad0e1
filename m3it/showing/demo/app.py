"""The page that asks a model, by Gradio: a row or pictures of one's own, a question, the answer as it is written.

With two models the page does not say which is which before the vote.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from M3IT import CATALOGUE, id_of
from m3it.catalogue import instructions, lookup
from m3it.evaluating.votes import VOTES, Ballots, vote_line
from m3it.showing.browse.app import KNOWN, TO_ADDRESS, of_address, to_address
from m3it.showing.browse.cards import note_html, said
from m3it.showing.browse.pages import Pages, View
from m3it.showing.demo.answers import answers_html, strip_html
from m3it.showing.demo.pictures import MAX_BYTES, MAX_PICTURES, read_uploads
from m3it.showing.demo.rounds import Model, Round, Taken, ask, question_from, seen
from m3it.showing.door import load_gradio

ADDRESS = ("config", "split", "row")
ADD = (
    '<label class="add">Add pictures<input type="file" multiple accept="image/*"></label> '
    f'<small class="more">or paste them, or drop them here; at most {MAX_PICTURES}</small>'
)


def build(
    models: dict[str, Model], pages: Pages | None = None, ballots: Ballots | None = None, command: str = "demo"
) -> Any:
    """The page as Gradio's Blocks. `models`: one, or two that are compared; `pages`: the rows that can be taken;
    `ballots`: where votes go."""
    gr = load_gradio(command)
    with gr.Blocks(title="M3IT: ask a model", analytics_enabled=False) as page:
        made = _lay_out(list(models), pages)
        going = _listen_to_questions(made, models, ballots)
        if pages:
            _listen_to_rows(page, made, pages, going)
    return page


def _lay_out(names: Sequence[str], pages: Pages | None) -> SimpleNamespace:
    """The components of the page, by their names."""
    import gradio as gr

    made = SimpleNamespace()
    of = f"Ask {names[0]}" if len(names) == 1 else "Which answer is better?"
    gr.HTML(f"<h1>{said(of)}</h1>", js_on_load=None)
    with gr.Row(visible=pages is not None):
        made.config = gr.Dropdown(list(pages.entries) if pages else [], label="Take a row of", min_width=170)
        made.split = gr.Dropdown([], label="Split", min_width=110)
        made.row = gr.Textbox(label="Row number", placeholder="then Enter", min_width=110)
        made.row_id = gr.Textbox(label="Row id", placeholder="then Enter", min_width=140)
        made.random = gr.Button("Random row", size="sm", min_width=110, scale=0)
    script = Path(__file__).with_name("page.js").read_text("utf-8")
    with gr.Row():
        with gr.Column(scale=2, min_width=260):
            made.strip = gr.HTML(js_on_load=None)
            made.add = gr.HTML(html_template=ADD, js_on_load=script, most_bytes=MAX_BYTES)
            made.refused = gr.HTML(js_on_load=None)
            made.remove = gr.Button("Remove pictures", size="sm", visible=False)
        with gr.Column(scale=3, min_width=260):
            made.choices = gr.Dropdown([], label="Instructions of the dataset", visible=False)
            made.instruction = gr.Textbox(label="Instruction", lines=2)
            made.inputs = gr.Textbox(label="Question", lines=2, placeholder="Shift and Enter asks")
            with gr.Row():
                made.ask = gr.Button("Ask", variant="primary", min_width=110, interactive=pages is None)
                made.stop = gr.Button("Stop", min_width=110)
    made.note = gr.HTML(note_html("Reading the first row …") if pages else "", js_on_load=None)
    made.answers = gr.HTML(js_on_load=None)
    with gr.Row(visible=False) as made.voting:
        made.votes = {vote: gr.Button(words, min_width=120) for vote, words in VOTES.items()}
    made.address = gr.Textbox(visible=False)
    made.pictures, made.taken, made.round = gr.State([]), gr.State(None), gr.State(None)
    return made


# ---- rows


def _listen_to_rows(page: Any, made: SimpleNamespace, pages: Pages, going: Any) -> None:
    """Let each event take another row, and stop the answer that is `going` on; the address in the browser names it."""
    import gradio as gr

    def take(view: View) -> dict[Any, Any]:
        found = pages.read(view)
        view, card = found.view, found.cards[0]
        if card.error:
            return {made.note: note_html(card.error, True)}
        listed = _instructions(view.config)
        files, place = [image["bytes"] for image in card.row["images"]], {"config": view.config, "split": view.split}
        return _pictures(made, files) | {
            made.config: view.config,
            made.split: gr.update(choices=pages.splits(view.config), value=view.split),
            made.row: str(card.number),
            made.row_id: card.id,
            made.choices: gr.update(choices=listed, value=None, visible=bool(listed)),
            made.instruction: card.row["instruction"],
            made.inputs: card.row["inputs"],
            made.taken: Taken(place, id_of(card.row), card.row["inputs"], files, card.row["outputs"]),
            made.address: to_address(View(**place, row=card.number)),
            **_cleared(made),
        }

    def on(listen: Any, view_of: Callable[..., View], *parts: Any, listed: str = "") -> None:
        """Take the row that `view_of` makes of what some components say, or else of the address. `listed`: what the
        last of them is a list of; to Gradio it is input, too, if one passes it with Tab."""

        def handle(given: dict[Any, Any], request: gr.Request) -> dict[Any, Any]:
            said, taken = [given[part] for part in parts], given[made.taken]
            if listed and taken and said[-1] == taken.place[listed]:
                return {made.taken: taken}
            try:
                found = take(view_of(*said or [request]))
            except KNOWN as error:
                found = {made.note: note_html(str(error), True)}
            return found | {made.ask: gr.update(interactive=True)}  # once the first row is read

        shown = [part for name, part in vars(made).items() if name != "votes"]
        if parts:  # first of all the answer is stopped, if there can be one: it would be written beside the other row
            listen(None, cancels=[going], api_visibility="private")
        done = listen(handle, {made.taken, *parts}, shown, api_visibility="private", show_progress="hidden")
        done.then(None, [made.address], None, js=TO_ADDRESS % list(ADDRESS), api_visibility="private")

    def numbered(config: str, split: str, number: str) -> View:
        return of_address({"config": config, "split": split, "row": number.strip()})

    def found(config: str, split: str, row_id: str) -> View:
        view = View(config, split)
        return view._replace(row=pages.find(view, row_id.strip()))

    def drawn(config: str, split: str) -> View:
        view = View(config, split)
        return view._replace(row=pages.random(view))

    place = (made.config, made.split)
    on(page.load, lambda request: of_address(dict(request.query_params)))
    on(made.config.input, lambda config: View(config), made.config, listed="config")
    on(made.split.input, View, *place, listed="split")
    on(made.row.submit, numbered, *place, made.row)
    on(made.row_id.submit, found, *place, made.row_id)
    on(made.random.click, drawn, *place)
    _on(made.choices.input, lambda said: (said or gr.skip(), None), made.choices, [made.instruction, made.choices])


def _instructions(config: str) -> list[str]:
    """The instructions of a config's dataset; none of a user's own."""
    dataset = lookup(config).dataset
    return list(instructions(dataset.name)) if dataset and dataset.name in CATALOGUE else []


# ---- questions


def _listen_to_questions(made: SimpleNamespace, models: dict[str, Model], ballots: Ballots | None) -> Any:
    """Let pictures be added, questions be asked, and, of two models, votes be given. Returns the event of an answer."""
    import gradio as gr

    names, asked_of = list(models), list(models.values())

    def add(before: list[bytes], event: gr.EventData) -> dict[Any, Any]:
        files, refused = read_uploads(event.files, before)
        return _pictures(made, files) | {made.refused: note_html(" ".join(refused), True) if refused else ""}

    def answer(pictures: list[bytes], taken: Taken | None, instruction: str, inputs: str) -> Iterator[dict[Any, Any]]:
        try:
            question, reference = question_from(pictures, instruction, inputs, taken)
            yield _cleared(made) | {made.note: note_html("The model answers …")}
            for asked in ask(asked_of, question, reference):
                yield {made.answers: answers_html(asked, names)}
            yield _ended(made, asked, asked_of, names, ballots is not None)
        except KNOWN as error:
            yield {made.note: note_html(str(error), True)}

    def vote(asked: Round, kind: str) -> dict[Any, Any]:
        if not asked or not ballots:
            return {made.note: note_html("This question has your vote already.", True)}
        ballots.add(vote_line(names, asked.question, asked.answers, kind))
        shown = answers_html(asked, names, seen(asked_of, asked.question), VOTES[kind], True)
        told = note_html("Your vote is kept. Above the answers you see which model gave which.")
        return {made.answers: shown, made.voting: gr.update(visible=False), made.round: None, made.note: told}

    strip = [made.strip, made.remove, made.pictures, made.refused]
    _on(made.add.upload, add, made.pictures, strip)
    _on(made.remove.click, lambda: _pictures(made, []), [], strip)
    asking = [made.pictures, made.taken, made.instruction, made.inputs]
    answered = [made.note, made.answers, made.voting, made.round]
    listeners = [made.ask.click, made.instruction.submit, made.inputs.submit]
    going = gr.on(listeners, answer, asking, answered, api_visibility="private", show_progress="hidden")
    stop = {"cancels": [going], "api_visibility": "private"}
    made.stop.click(lambda: note_html("Stopped."), None, made.note, **stop)
    for kind, button in made.votes.items():
        _on(button.click, lambda asked, kind=kind: vote(asked, kind), made.round, answered)
    return going


def _ended(
    made: SimpleNamespace, asked: Round, models: Sequence[Model], names: Sequence[str], is_blind: bool
) -> dict[Any, Any]:
    """What the components say once all have answered: of two models nothing tells which is which."""
    import gradio as gr

    if is_blind:
        told = {
            made.note: note_html("Which answer is better?"),
            made.voting: gr.update(visible=True),
            made.round: asked,
        }
        return told | {made.answers: answers_html(asked, names, done=True)}
    shown = answers_html(asked, names, seen(models, asked.question), done=True)
    return {made.note: note_html("The answer is below."), made.answers: shown}


def _pictures(made: SimpleNamespace, files: list[bytes]) -> dict[Any, Any]:
    """What the components say of the pictures."""
    import gradio as gr

    return {
        made.pictures: files,
        made.strip: strip_html(files),
        made.remove: gr.update(visible=bool(files)),
        made.refused: "",
    }


def _cleared(made: SimpleNamespace) -> dict[Any, Any]:
    """What the components say before an answer."""
    import gradio as gr

    return {made.note: "", made.answers: "", made.voting: gr.update(visible=False), made.round: None}


def _on(listen: Any, handle: Callable[..., Any], given: Any, shown: Any) -> None:
    listen(handle, given, shown, api_visibility="private", show_progress="hidden")
