"""The built book in headless Chromium: no error, no request to a network, every formula drawn, every link alive, fit for a phone.

Needs `make book` before, a Chromium, and playwright (`make browser` installs it); skips itself without them.
"""

import functools
import shutil
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
import yaml
from bs4 import BeautifulSoup  # Sphinx's theme needs it

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent.parent
HTML = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text())
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1300, "height": 900}


@pytest.fixture(scope="module")
def browser():
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built")
    sync = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        pytest.skip("there is no Chromium")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Open a page of the book; returns it, what its console complained of, and what it asked of a network."""
    opened = []

    def open_page(name, viewport=DESK):
        page = browser.new_page(viewport=viewport)
        opened.append(page)
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
        page.goto((HTML / f"{name}.html").as_uri(), wait_until="load")
        page.wait_for_function("!window.MathJax || !MathJax.startup || MathJax.startup.promise.then(() => true)")
        return page, complaints, [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]

    yield open_page
    for page in opened:
        page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_without_a_network(visit, name):
    page, complaints, asked = visit(name)
    assert complaints == [] and asked == []
    formulas = page.locator(".math").count()
    assert page.locator(".math mjx-container svg").count() == formulas
    assert page.locator("mjx-merror, [data-mml-node='merror']").count() == 0
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_a_phone(visit, name):
    page, complaints, _ = visit(name, PHONE)
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_every_link_inside_the_book_is_alive():
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built")

    @functools.cache
    def parsed(path):
        tags = BeautifulSoup(path.read_text(), "html.parser").find_all(True)
        return {tag["id"] for tag in tags if tag.has_attr("id")}, {tag["href"] for tag in tags if tag.name == "a" and tag.has_attr("href")}

    dead = []
    for name in PAGES:
        page = HTML / f"{name}.html"
        for href in parsed(page)[1]:
            target, fragment = urldefrag(urljoin(page.as_uri(), href))
            if not target.startswith("file:"):
                continue
            path = Path(unquote(target.removeprefix("file://")))
            inside = HTML in path.parents
            if not inside or not path.is_file() or (fragment and path.suffix == ".html" and unquote(fragment) not in parsed(path)[0]):
                dead.append(f"{name}: {href}")
    assert dead == []


def test_the_search_plays_follows_the_slider_and_another_can_be_chosen(visit):
    page, complaints, _ = visit("book/index")
    element = page.locator(".asap-replay")
    output, slider, cursor = element.locator(".controls output"), element.locator("input"), element.locator(".cursor")
    last = output.text_content()
    drawn = "[...document.querySelectorAll('.asap-replay .asap-cell path')].filter(p => +p.getAttribute('stroke-opacity') > 0).length"
    at_the_end = page.evaluate(drawn)
    slider.fill("0")
    assert output.text_content().startswith("epoch 1:") and page.evaluate(drawn) == 2 * 14 * 7 > at_the_end
    left = float(cursor.get_attribute("x1"))
    element.locator("button").click()
    page.wait_for_function("document.querySelector('.asap-replay .controls output').textContent.startsWith('epoch 3:')")
    element.locator("button").click()
    assert float(cursor.get_attribute("x1")) > left
    slider.focus()
    slider.press("End")
    assert output.text_content() == last and page.evaluate(drawn) == at_the_end
    curve = element.locator("path.accuracy").get_attribute("d")
    element.locator("select").select_option("DARTS")
    assert page.evaluate(drawn) == 2 * 14 * 8 and element.locator("path.accuracy").get_attribute("d") != curve
    assert complaints == []


def test_what_other_constants_would_have_pruned_follows_the_sliders(visit, monkeypatch):
    from plain_whatif import prune

    from asap.report import replay, results
    from asap.report.figure2 import searches

    page, complaints, _ = visit("book/results/figure2", PHONE)
    element = page.locator(".asap-whatif")
    answer, curve = element.locator(".answer"), element.locator("path.accuracy")
    monkeypatch.setenv("ASAP_RUNS", str(ROOT / "runs"))
    alpha = replay.recorded_alpha(results.record(searches()["run"].iloc[0])).round(3)
    for given in ({}, {"share": "0"}, {"share": "0.4", "left": "left"}, {"initial": "0.6", "decay": "0.9"}):
        for name, value in given.items():
            place = element.locator(f"[name={name}]")
            place.select_option(value) if name == "left" else place.fill(value)
        settings = [float(element.locator(f"[name={name}]").input_value()) for name in ("initial", "decay", "share")]
        course, undecided, first = prune(alpha, *settings, bool(element.locator("[name=left]").input_value()))
        assert answer.text_content().startswith(f"{undecided} of 28 edges would stay undecided")
        assert ("nothing would be pruned" in answer.text_content()) == (first == 0) and curve.get_attribute("d").count("L") == len(
            course
        ) - 1
    said = answer.text_content()
    slider = element.locator("[name=initial]")
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert answer.text_content() != said and complaints == []


def test_a_point_shows_its_cell_when_touched_and_by_the_keyboard(visit):
    page, complaints, _ = visit("book/results/figure1")
    element = page.locator(".asap-explorer")
    answer, chart = element.locator(".answer"), element.locator(".points")
    assert element.locator(".asap-cell").count() == 0
    element.locator("circle").nth(0).click(force=True)
    first = answer.text_content()
    assert "% error" in first and "record " in first and element.locator(".asap-cell").count() == 2
    assert element.locator(".asap-cell path").count() >= 8
    chart.focus()
    page.keyboard.press("ArrowRight")
    second = answer.text_content()
    assert second != first
    page.keyboard.press("ArrowLeft")
    assert answer.text_content() == first
    element.locator("select").select_option("1")
    element.locator("circle").nth(3).click(force=True)
    assert "score (surrogate)" in answer.text_content() and complaints == []


@pytest.mark.parametrize("name", ["book/index", "book/results/figure4", "book/results/figure6"])
def test_figures_are_legible_in_the_dark(visit, name):
    """Text and axes take the page's own colour of text, and no figure has a background of its own."""
    page, _, _ = visit(name)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    colours = page.evaluate(
        "(() => { const look = (where) => getComputedStyle(document.querySelector(where));"
        "return [look('.asap-figure svg text:not(.name)').fill, look('.bd-article p').color,"
        "look('.text_html:has(.asap-figure)').backgroundColor]; })()"
    )
    assert colours[0] == colours[1] and colours[2] == "rgba(0, 0, 0, 0)"
    assert page.evaluate("[...document.querySelectorAll('.asap-figure')].every(f => f.getAttribute('aria-label').length > 30)")
