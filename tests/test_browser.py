"""The built book in headless Chromium: no error, no request to a network, every formula drawn, every link alive, fit for a phone.

Needs `make book` before, a Chromium, and playwright (`make browser` installs it); skips itself without them.
"""

import shutil
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest
import yaml

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parent.parent
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


def test_every_link_inside_the_book_is_alive(visit):
    dead, anchors = [], {}

    def ids(path):
        if path not in anchors:
            page = visit(path.relative_to(HTML).with_suffix("").as_posix())[0]
            anchors[path] = set(page.evaluate("[...document.querySelectorAll('[id],a[name]')].map(e => e.id || e.name)"))
        return anchors[path]

    for name in PAGES:
        page, _, _ = visit(name)
        for href in set(page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href'))")):
            target, fragment = urldefrag(urljoin(page.url, href))
            if not target.startswith("file:"):
                continue
            path = Path(unquote(target.removeprefix("file://")))
            inside = HTML in path.parents
            if not inside or not path.is_file() or (fragment and path.suffix == ".html" and unquote(fragment) not in ids(path)):
                dead.append(f"{name}: {href}")
    assert dead == []


def test_the_search_plays_and_follows_the_slider(visit):
    page, complaints, _ = visit("book/results/figure2")
    element = page.locator(".asap-animation")
    output, slider = element.locator("output"), element.locator("input")
    last = output.text_content()
    drawn = "[...document.querySelectorAll('.asap-animation path')].filter(p => +p.getAttribute('stroke-opacity') > 0).length"
    at_the_end = page.evaluate(drawn)
    slider.fill("0")
    assert output.text_content().startswith("epoch 1:") and page.evaluate(drawn) == 2 * 14 * 7 > at_the_end
    element.locator("button").click()
    page.wait_for_function("document.querySelector('.asap-animation output').textContent.startsWith('epoch 3:')")
    element.locator("button").click()
    slider.fill(slider.get_attribute("max"))
    assert output.text_content() == last and page.evaluate(drawn) == at_the_end and complaints == []
