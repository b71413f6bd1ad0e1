"""`m3it browse` and `m3it demo` in a real browser: Chromium by Playwright, at 1200 and 390 pixels, light and dark.

M3IT_AXE names axe.min.js (npm's axe-core), with which the pages are checked for what keeps people out; M3IT_SHOTS a
folder for screenshots.
"""

import itertools
import os
import shutil
import threading
from pathlib import Path

import pytest
from chat_server import ChatServer, events, words_of
from conftest import make_row, picture, write_rows

from m3it.evaluating.answering import ModelInput, streamed
from m3it.evaluating.votes import ballots_in, read_votes
from m3it.showing.browse.app import build as build_browse
from m3it.showing.browse.pages import Pages
from m3it.showing.demo.app import build as build_demo
from m3it.showing.demo.rounds import load_models

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LOOKS = [(width, scheme) for width in (1200, 390) for scheme in ("light", "dark")]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip(
        "playwright.sync_api", reason="the browser is driven by playwright: pip install playwright"
    )
    pytest.importorskip("gradio", reason="the page needs Gradio: pip install -e '.[demo]'")
    if not CHROMIUM:
        pytest.skip("there is no chromium here")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=LOOKS, ids=[f"{width}-{scheme}" for width, scheme in LOOKS])
def page(chromium, request):
    """A page of the browser, in one of its looks; it fails on a script's error, and on what asks another host."""
    width, scheme = request.param
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda asked: "//127.0.0.1" in asked.url or asked.url[:5] in ("data:", "blob:") or wrong.append(asked.url),
    )
    page.look = f"{width}-{scheme}"
    yield page
    context.close()
    assert not wrong


def look_at(page, name: str) -> None:
    """A screenshot, where one is wanted; nothing reaches over the edge; axe finds nothing serious, where axe is."""
    if os.environ.get("M3IT_SHOTS"):
        page.screenshot(path=Path(os.environ["M3IT_SHOTS"]) / f"{name}-{page.look}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if os.environ.get("M3IT_AXE"):
        page.evaluate(Path(os.environ["M3IT_AXE"]).read_text("utf-8"))
        found = page.evaluate("axe.run()")["violations"]
        told = [(each["id"], each["impact"], [node["html"][:200] for node in each["nodes"]]) for each in found]
        assert not [each for each in told if each[1] in SERIOUS], told


@pytest.fixture
def rows(tmp_path):
    """okvqa (40 rows) and the same in Arabic."""
    rows = [make_row(i, inputs=f"What is {i}? {'Cat' if i % 10 == 3 else 'dog'}") for i in range(40)]
    write_rows(tmp_path / "repo/data/kvqa/okvqa/train.jsonl", rows)
    write_rows(tmp_path / "repo/data/kvqa/okvqa/ar/train.jsonl", [make_row(i, inputs=f"ما هو {i}؟") for i in range(40)])
    return str(tmp_path / "repo")


@pytest.fixture
def two(tiny, rows, serving, tmp_path):
    """The address of a demo that compares tiny with a server's model."""

    def reply(request):
        return events(request, *words_of(request["messages"][-1]).split(" "))

    with ChatServer(reply) as server, ballots_in(tmp_path / "votes") as ballots:
        page = build_demo(load_models([str(tiny), "parrot"], server.url, 12), Pages(rows), ballots)
        with serving(page) as url:
            yield url


def test_rows_are_browsed_and_searched_and_one_goes_back(page, rows, serving):
    with serving(build_browse(Pages(rows))) as url:
        page.goto(f"{url}/?config=okvqa&row=17")
        page.get_by_text("What is 17? dog").wait_for()
        look_at(page, "browse")
        page.get_by_label("Search in texts").fill("cat")
        page.get_by_label("Search in texts").press("Enter")
        page.get_by_text("4 found in rows 0 to 39").wait_for()
        assert "search=cat" in page.url and page.locator("article").count() == 4
        page.get_by_label("enlarge picture 1 of 1").first.check(force=True)
        look_at(page, "search")
        page.go_back()
        page.get_by_text("What is 17? dog").wait_for()
        assert "row=17" in page.url


def test_lists_are_used_by_keyboard_and_passing_them_changes_nothing(page, rows, serving):
    with serving(build_browse(Pages(rows))) as url:
        page.goto(f"{url}/?config=okvqa&row=17")
        page.get_by_text("What is 17? dog").wait_for()
        for _ in range(5):  # over all lists
            page.keyboard.press("Tab")
        page.wait_for_timeout(1000)
        assert "row=17" in page.url and page.get_by_text("What is 17? dog").is_visible()
        page.get_by_label("Language").focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.get_by_text("ما هو 0؟").wait_for()
        assert "config=okvqa-ar" in page.url


def test_two_models_are_asked_and_compared(page, two, tmp_path):
    page.goto(f"{two}/?config=okvqa&split=train&row=17")
    page.get_by_role("textbox", name="Question").wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('textarea')].some(each => each.value.startsWith('What is 17'))"
    )
    assert page.get_by_text("parrot").count() == 0
    for name, data in (("broken.jpg", b"\xff\xd8\xff\xe0 no more"), ("evil.svg", b"<svg xmlns='x'/>")):
        page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": data})
        page.get_by_role("alert").get_by_text(f"{name}: ").wait_for()
    above, told = (part.bounding_box() for part in (page.get_by_text("Add pictures"), page.get_by_role("alert")))
    assert 0 <= told["y"] - above["y"] - above["height"] < 100
    look_at(page, "refused")
    file = {"name": "own.png", "mimeType": "image/png", "buffer": picture(9)}
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_alt_text("picture 2 of 2").wait_for()
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Left is better").wait_for()
    assert page.get_by_text("parrot").count() == 0 and page.get_by_text("What the model saw").count() == 0
    look_at(page, "blind")
    page.get_by_role("button", name="Left is better").click()
    page.get_by_text("Your vote is kept").wait_for()
    page.get_by_text("What the model saw").first.click()
    assert page.get_by_text("parrot").count() >= 1 and page.get_by_text("You voted: Left is better.").is_visible()
    look_at(page, "voted")
    (line,) = read_votes(tmp_path / "votes/votes.jsonl")
    assert line["vote"] == "left" and len(line["pictures_sha256"]) == 2 and "config" not in line
    page.get_by_role("button", name="Random row").click()
    page.wait_for_function("!location.search.includes('row=17')")
    page.go_back()
    page.wait_for_function(
        "[...document.querySelectorAll('textarea')].some(each => each.value.startsWith('What is 17'))"
    )


def test_the_demo_is_used_by_keyboard_alone(page, two, tmp_path):
    page.goto(f"{two}/?config=okvqa&split=train&row=3")
    page.wait_for_function(
        "[...document.querySelectorAll('textarea')].some(each => each.value.startsWith('What is 3'))"
    )
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.type || document.activeElement.innerText"))
        if page.evaluate("document.activeElement.innerText") == "Ask":
            break
    assert {"file", "checkbox", "textarea"} <= set(reached)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Tie").wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText") == "Tie":
            break
    page.keyboard.press("Enter")
    page.get_by_text("Your vote is kept").wait_for()
    (line,) = read_votes(tmp_path / "votes/votes.jsonl")
    assert line["vote"] == "tie" and line["id"] == "row-3"


class Endless:
    """A model that says one word after the other, as many as it is let."""

    def __init__(self):
        self.is_told_to_end, self.num_ended = threading.Event(), 0

    def stream(self, question):
        def write(tell):
            try:
                for number in itertools.count():
                    tell(f"word {number}")
                    if self.is_told_to_end.wait(0.1):
                        return "the end"
            finally:
                self.num_ended += 1

        return streamed(write)

    def seen(self, question):
        return ModelInput("What?", [])


def test_an_answer_is_stopped_and_the_next_question_is_asked(page, serving):
    model = Endless()
    with serving(build_demo({"endless": model})) as url:
        page.goto(url)
        page.get_by_role("textbox", name="Question").fill("What?")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_text("word 2").wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        said = page.get_by_text("word ").inner_text()
        page.wait_for_timeout(1000)
        assert model.num_ended == 1 and page.get_by_text("Stopped.").is_visible()
        assert page.get_by_text("word ").inner_text() == said
        model.is_told_to_end.set()
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_text("the end").wait_for()
        page.get_by_text("What the model saw").wait_for()


class Late(Pages):
    """Pages that come when they are let."""

    def __init__(self, repo):
        super().__init__(repo)
        self.may_come = threading.Event()

    def read(self, view, tell=lambda _: None):
        self.may_come.wait()
        return super().read(view, tell)


def test_a_row_is_asked_about_once_it_is_read_and_another_one_stops_the_answer(page, rows, serving):
    model, pages = Endless(), Late(rows)
    with serving(build_demo({"endless": model}, pages)) as url:
        page.goto(f"{url}/?config=okvqa&split=train&row=17")
        ask = page.get_by_role("button", name="Ask", exact=True)
        page.get_by_text("Reading the first row").wait_for()
        assert ask.is_disabled()
        pages.may_come.set()
        page.get_by_text("Reading the first row").wait_for(state="detached")
        ask.click()
        page.get_by_text("word 2").wait_for()
        page.get_by_label("Row number").fill("18")
        page.get_by_label("Row number").press("Enter")
        page.wait_for_function("location.search.includes('row=18')")
        page.wait_for_timeout(500)
        assert model.num_ended == 1
        assert page.locator(".answer").count() == 0


def test_a_pasted_picture_is_added(page, two):
    page.goto(two)
    page.get_by_role("button", name="Ask", exact=True).wait_for()
    page.get_by_alt_text("picture 1 of 1").wait_for()
    page.evaluate(
        """bytes => {
          const data = new DataTransfer();
          data.items.add(new File([new Uint8Array(bytes)], "pasted.png", {type: "image/png"}));
          document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true}));
        }""",
        list(picture(5)),
    )
    page.get_by_alt_text("picture 2 of 2").wait_for()
    page.get_by_role("button", name="Remove pictures").click()
    page.get_by_alt_text("picture 2 of 2").wait_for(state="detached")
