"""A real browser for tests of the page; tests that use it are skipped, with the reason, where there is none."""

import contextlib
import shutil
import socket
import threading
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


def browser_path():
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(
    browser_path() is None, reason="no Chromium on this machine (apt-get install chromium)"
)


@contextlib.contextmanager
def launched_browser(*flags):
    """Start Chromium, with further flags; yield the browser, which has no window yet."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as runtime:
        browser = runtime.chromium.launch(executable_path=browser_path(), args=[*_FLAGS, *flags])
        yield browser
        browser.close()


@contextlib.contextmanager
def launched():
    """Start Chromium; yield one window, whose pages share what was already downloaded and compiled."""
    with launched_browser() as browser:
        yield browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)


@contextlib.contextmanager
def opened(window, url):
    """Open a page; on leaving, fail for any console error and any request that leaves this machine."""
    page = window.new_page()
    page.set_default_timeout(60_000)
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    own = ("http://127.0.0.1:", "file:", "data:", "blob:")
    page.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
    page.goto(url)
    yield page
    page.close()
    assert not wrong, wrong


@contextlib.contextmanager
def served(folder):
    """Serve the live page of a folder on a free port; yield its address."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    from aelle.explorer.app import create_app

    quiet = type("Quiet", (WSGIRequestHandler,), {"log_request": lambda *_: None})
    server = make_server("127.0.0.1", 0, create_app(folder).server, threaded=True, request_handler=quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(5)


def wait_for_map(page):
    page.wait_for_selector("#map .scatterlayer .points path")


def wait_for_selection(page, pattern):
    page.wait_for_function(
        "p => new RegExp(p).test(document.querySelector('#selection-count').textContent)", arg=pattern
    )


def wait_for_trace(page, name, graph="#map"):
    page.wait_for_function(
        "([id, name]) => (document.querySelector(id + ' .js-plotly-plot') ?? document.querySelector(id))"
        "?.calcdata?.some(t => t[0].trace.name === name)",
        arg=[graph, name],
    )


def points_on_screen(page, graph="#map"):
    """Middle of every point of an SVG map (not of rings and trails), in pixels, in the order of the traces."""
    return page.eval_on_selector_all(
        f"{graph} .scatterlayer .trace .points path",
        "marks => marks.filter(m => m.closest('.trace').__data__?.[0]?.trace.hoverinfo !== 'skip')"
        ".map(m => m.getBoundingClientRect()).map(r => [r.x + r.width / 2, r.y + r.height / 2])",
    )


def lone_points(page, graph="#map"):
    """Numbers and places of points, those farthest from their nearest neighbour first."""
    places = points_on_screen(page, graph)

    def room(number):
        x, y = places[number]
        return min((a - x) ** 2 + (b - y) ** 2 for k, (a, b) in enumerate(places) if k != number)

    return [(number, places[number]) for number in sorted(range(len(places)), key=room, reverse=True)]


def lasso(page, left, top, right, bottom):
    """Draw around a part of the map, given in shares of its width and height."""
    x, y, width, height = page.eval_on_selector(
        "#map .nsewdrag", "e => (r => [r.x, r.y, r.width, r.height])(e.getBoundingClientRect())"
    )
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    places = [(x + a * width, y + b * height) for a, b in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def file_url(path):
    return Path(path).resolve().as_uri()
