"""The page and the standalone file in a real browser."""

import pandas as pd
import pytest

from aelle.explorer.standalone import write_html
from aelle.records import write_frame
from tests.explorer_browser import (
    file_url,
    launched,
    lone_points,
    needs_browser,
    opened,
    points_on_screen,
    served,
)
from tests.explorer_folder import write_explorer_folder

pytestmark = [pytest.mark.browser, needs_browser]


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as address:
        yield address


def wait_for_map(page):
    page.wait_for_selector("#map .scatterlayer .points path")


def traces(page, graph="#map"):
    """Name and number of points of each trace as drawn, without the marks of what is chosen."""
    return page.evaluate(
        "id => (document.querySelector(id + ' .js-plotly-plot') ?? document.querySelector(id)).calcdata"
        ".filter(t => t[0].trace.hoverinfo !== 'skip').map(t => [t[0].trace.name, t.length])",
        graph,
    )


def wait_for_trace(page, name, graph="#map"):
    page.wait_for_function(
        "([id, name]) => (document.querySelector(id + ' .js-plotly-plot') ?? document.querySelector(id))"
        ".calcdata?.some(t => t[0].trace.name === name)",
        arg=[graph, name],
    )


def test_click_shows_spectra_and_learning_curve(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        assert traces(page)[0][1] == 60
        number, place = lone_points(page)[0]
        page.mouse.click(*place)
        page.wait_for_selector(f"#spectra-title >> text={number:012x}")
        wait_for_trace(page, "epoch 3", "#spectra")
        assert [name for name, _ in traces(page, "#spectra")] == ["epoch 0", "epoch 1", "epoch 3"]
        assert "validation loss" in [name for name, _ in traces(page, "#curves")]


def test_hover_shows_a_card(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        number, place = lone_points(page)[0]
        page.mouse.move(*place)
        page.wait_for_selector(f"text={number:012x} · epoch 0")


def test_colour_menu_and_theme(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        page.click("#colour")
        page.click("text='architecture'")
        wait_for_trace(page, "lstm")
        assert {name for name, _ in traces(page)} == {"gru", "lstm", "rnn"}
        before = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme-button")
        page.wait_for_function(
            "before => getComputedStyle(document.body).backgroundColor !== before", arg=before
        )


def test_slider_by_keyboard_and_play(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        start = points_on_screen(page)[0]
        page.focus("#epoch [role=slider]")
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "x => Math.abs(document.querySelector('#map .points path').getBoundingClientRect().x - x) > 6",
            arg=start[0],
        )
        page.click("#play")
        page.wait_for_selector("#play >> text=Pause")
        page.wait_for_selector("#play >> text=Play")
        assert page.get_attribute("#epoch [role=slider]", "aria-valuenow") == "2"


def test_search_finds_a_network_by_its_id(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        page.fill("#search", "00000000002a")
        page.keyboard.press("Enter")
        page.wait_for_selector("#curves-title >> text=00000000002a")


def test_standalone_file_offline(browser, folder, tmp_path):
    write_html(folder, tmp_path / "page.html")
    with opened(browser, file_url(tmp_path / "page.html")) as page:
        wait_for_map(page)
        number, place = lone_points(page)[0]
        page.mouse.click(*place)
        page.wait_for_selector(f"#spectra-title >> text={number:012x}")
        assert [name for name, _ in traces(page, "#spectra")] == ["epoch 0", "epoch 1", "epoch 3"]
        number, place = lone_points(page)[1]
        page.mouse.move(*place)
        page.wait_for_selector(f"#tip >> text={number:012x} · epoch 0")
        page.select_option("#colour", label="hidden size")
        wait_for_trace(page, "32")
        page.focus("#epoch")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#epoch-shown >> text=1")


def test_markup_in_names_stays_text(browser, tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    evil = "<img src=x onerror='document.title=\"hacked\"'>"
    latents = pd.read_parquet(folder.latents)
    latents[evil] = [f"{evil}{k % 2}" for k in range(len(latents))]
    write_frame(folder.latents, latents)
    write_html(folder, tmp_path / "page.html")
    with served(folder) as address, opened(browser, address) as page:
        wait_for_map(page)
        page.click("#colour")
        page.click(f"text={evil}")
        page.wait_for_function("document.querySelector('#map .legend')?.textContent.includes('<img src=x')")
        page.mouse.move(*points_on_screen(page)[0])
        page.wait_for_selector("table.facts-table")
        assert page.title() != "hacked"
    with opened(browser, file_url(tmp_path / "page.html")) as page:
        wait_for_map(page)
        page.select_option("#colour", label=evil)
        page.wait_for_function("document.querySelector('#map .legend')?.textContent.includes('<img src=x')")
        assert page.title() != "hacked"
        assert not page.query_selector_all("main img")


def test_page_without_latents_says_what_to_run(browser, tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6, latents=False, predictions=False)
    with served(folder) as address, opened(browser, address) as page:
        page.wait_for_selector("text=aelle train")
