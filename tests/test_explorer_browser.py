"""The page and the standalone file in a real browser."""

import pandas as pd
import pytest

from aelle.explorer.standalone import write_html
from aelle.records import write_frame
from tests.explorer_browser import (
    file_url,
    lasso,
    launched,
    lone_points,
    needs_browser,
    opened,
    points_on_screen,
    served,
    wait_for_map,
    wait_for_selection,
    wait_for_trace,
)
from tests.explorer_folder import (
    write_explorer_folder,
    write_fitted_explorer_folder,
    write_latents,
    write_many_points,
)

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


def traces(page, graph="#map"):
    """Name and number of points of each trace as drawn, without the marks of what is chosen."""
    return page.evaluate(
        "id => (document.querySelector(id + ' .js-plotly-plot') ?? document.querySelector(id)).calcdata"
        ".filter(t => t[0].trace.hoverinfo !== 'skip').map(t => [t[0].trace.name, t.length])",
        graph,
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


def test_points_are_seen_before_plotly_has_started(browser, address):
    held = []
    browser.route("**/plotly.min.js", lambda route: held.append(route))
    with opened(browser, address) as page:
        page.wait_for_selector("#map canvas.first-look")
        painted = page.eval_on_selector(
            "#map canvas.first-look",
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, k) => k % 4 === 3 && v > 0).length",
        )
        assert painted > 60 * 20  # sixty points of nine pixels across, some of them overlapping
        page.wait_for_selector("#spectra-title >> text=final accuracy")  # words need no plotly
        assert page.evaluate("window.Plotly === undefined")
        for route in list(held):
            route.continue_()
        browser.unroute("**/plotly.min.js")
        wait_for_map(page)
        page.wait_for_selector("#map canvas.first-look", state="detached")


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


def test_lasso_a_and_b_are_linked_to_all_views(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        lasso(page, 0.02, 0.02, 0.45, 0.98)
        wait_for_selection(page, r"^A: \d+$")
        wait_for_trace_like(page, "A (", "#bands")  # the view of groups opens by itself
        page.click("#lasso-into >> text='B'")
        lasso(page, 0.5, 0.02, 0.98, 0.98)
        wait_for_selection(page, r"A: \d+ · B: \d+")
        wait_for_trace_like(page, "B (", "#bands")
        page.click("#tab >> text='What is special'")
        page.wait_for_selector("#special-words >> text=A differs from B most in")
        page.click("#tab >> text='Table'")
        page.wait_for_selector("#table-title >> text=selected")
        page.click("#table th >> text=initial gain")
        page.wait_for_selector("#table th >> text=initial gain ↓")
        gains = page.eval_on_selector_all(
            "#table tbody tr td:nth-child(9)", "c => c.map(x => +x.textContent)"
        )
        assert gains == sorted(gains, reverse=True)
        page.click("#tab >> text='Prediction'")
        wait_for_trace(page, "A", "#predicted")
        with page.expect_download() as download:
            page.click("#csv")
        table = pd.read_csv(download.value.path())
        assert set(table["group"]) == {"A", "B"}
        page.click("#clear")
        wait_for_selection(page, "Draw around")


def test_rings_shift_escape_and_double_click(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        lasso(page, 0.02, 0.02, 0.45, 0.98)
        wait_for_selection(page, r"^A: \d+$")
        first = int(page.text_content("#selection-count").split()[-1])
        wait_for_rings(page, first)
        page.keyboard.down("Shift")
        lasso(page, 0.5, 0.02, 0.98, 0.98)
        page.keyboard.up("Shift")
        page.wait_for_function(
            "n => +document.querySelector('#selection-count').textContent.split(' ')[1] > n", arg=first
        )
        count = page.text_content("#selection-count")
        x, y, width, height = page.eval_on_selector("#map .nsewdrag", BOX)
        page.mouse.move(x + 10, y + 10)
        page.mouse.down()
        page.mouse.move(x + width / 2, y + height / 2, steps=4)
        assert page.query_selector("svg.lasso")
        page.keyboard.press("Escape")
        page.mouse.up()
        assert not page.query_selector("svg.lasso")
        assert page.text_content("#selection-count") == count
        page.mouse.dblclick(x + width / 2, y + 5)
        page.wait_for_function("document.querySelector('#map .graph')._fullLayout.xaxis.autorange === true")


BOX = "e => (r => [r.x, r.y, r.width, r.height])(e.getBoundingClientRect())"


def wait_for_rings(page, count):
    page.wait_for_function(
        "n => document.querySelector('#map .graph')._fullData.find(t => t.name === 'selection A')?._length === n",
        arg=count,
    )


def test_larger_type_and_lines_for_a_projector(browser, address):
    with opened(browser, f"{address}/?display=projector&focus=000000000004") as page:
        wait_for_trace(page, "epoch 3", "#spectra")
        large = tick_size(page)
        page.click("#size-button >> text=Smaller")
        page.wait_for_function(f"({TICK_SIZE}) < {large}")
        assert tick_size(page) * 1.3 < large
        page.wait_for_function("!location.search.includes('projector')")


TICK_SIZE = (
    "parseFloat(getComputedStyle(document.querySelector('#spectra .xtick text') ?? document.body).fontSize)"
)


def tick_size(page):
    return page.evaluate(TICK_SIZE)


def wait_for_trace_like(page, start, graph):
    page.wait_for_function(
        "([id, start]) => document.querySelector(id + ' .js-plotly-plot')?.calcdata"
        "?.some(t => t[0].trace.name?.startsWith(start))",
        arg=[graph, start],
    )


def test_a_link_restores_the_view(browser, address):
    link = f"{address}/?colour=architecture&epoch=3&tab=table&a=i:000000000001,000000000002&focus=000000000004&theme=dark"
    with opened(browser, link + '&filters={"init_gain":[0,8]}') as page:
        wait_for_map(page)
        wait_for_trace(page, "lstm")
        wait_for_selection(page, "^A: 2$")
        assert page.get_attribute("html", "data-theme") == "dark"
        assert page.get_attribute("#epoch [role=slider]", "aria-valuenow") == "2"
        page.wait_for_selector("#table-title >> text=2 selected")
        page.click("#theme-button")
        page.click("#tab >> text='Network'")
        page.wait_for_function("location.search.includes('tab=network')")
        assert "theme" not in page.url  # it is the reader's
        page.go_back()
        page.wait_for_selector("#table-title >> text=2 selected")
        page.wait_for_function("location.search.includes('tab=table')")
        page.go_forward()
        page.wait_for_selector("#view-network:not([hidden]) #spectra .main-svg")
        assert "a=i%3A000000000001" in page.url
        assert "filters" in page.url
        assert sum(count for _, count in traces(page)) < 59  # the filter is on


def test_saving_the_view_as_a_file(browser, address, tmp_path):
    view = "colour=architecture&focus=000000000004&a=i:000000000001&method=columns&x=init_gain&log=x&zoom=-1,1,0,2"
    with opened(browser, f'{address}/?{view}&filters={{"init_gain":[0,8]}}') as page:
        wait_for_map(page)
        assert page.evaluate(FRAME) == [-1, 1, 0, 2]
        wait_for_rings(page, 1)
        page.wait_for_function("location.search.includes('focus')")
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "saved.html")
    with opened(browser, file_url(tmp_path / "saved.html")) as page:
        page.wait_for_selector("#spectra-title >> text=000000000004")
        assert {"gru", "lstm", "rnn"} <= {name for name, _ in traces(page)}
        assert page.evaluate(FRAME.replace("#map .graph", "#map")) == [-1, 1, 0, 2]
        assert (
            page.evaluate("document.querySelector('#map')._fullLayout.xaxis.title.text")
            == "initial gain p·√H"
        )
        assert sum(count for _, count in traces(page)) < 59  # the filter is on


FRAME = "(l => [...l.xaxis.range, ...l.yaxis.range])(document.querySelector('#map .graph')._fullLayout)"


@pytest.mark.slow
def test_everything_but_the_lasso_by_keyboard(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        tab_to(page, "#search")
        # As fingers do: without any pause Dash's input mixes keys up.
        page.keyboard.type("000000000004", delay=50)
        page.keyboard.press("Enter")
        page.wait_for_selector("#spectra-title >> text=000000000004")
        tab_to(page, "#select-shown")
        page.keyboard.press("Enter")
        wait_for_selection(page, r"^A: 60$")
        wait_for_trace_like(page, "A (", "#bands")
        tab_to(page, "#tab input")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#view-special:not([hidden])")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#view-parallel:not([hidden])")
        page.keyboard.press("ArrowRight")
        page.wait_for_selector("#table-title >> text=60 selected")
        tab_to(page, "#table th button")
        page.keyboard.press("Enter")
        page.wait_for_selector("#table th >> text=network ↓")
        tab_to(page, "#colour")
        page.keyboard.press("Enter")
        page.wait_for_function("document.activeElement.value === 'final_metric'")
        page.keyboard.press("ArrowDown")
        page.wait_for_function("document.activeElement.value === 'architecture'")
        page.keyboard.press("Enter")
        wait_for_trace(page, "lstm")


def tab_to(page, selector):
    """Press Tab until the part is reached, as somebody without a pointer does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab never reaches {selector}")


def test_filters_leave_points_out(browser, address):
    with opened(browser, address) as page:
        wait_for_map(page)
        page.click(".filters summary")
        page.click("#filter-columns")
        page.click("[role=option] >> text='initial gain p·√H'")
        page.keyboard.press("Escape")
        page.wait_for_selector("#filter-count >> text=60 of 60 networks shown")
        page.focus(".filter-widgets [role=slider]")
        page.keyboard.press("PageUp")
        page.keyboard.press("PageUp")
        page.wait_for_function(
            "/^[1-5][0-9] of 60 networks/.test(document.querySelector('#filter-count').textContent)"
        )
        page.wait_for_function(
            "!document.querySelector('#map .js-plotly-plot').calcdata.some(t => t.length === 60)"
        )


def test_the_page_follows_a_running_collection(browser, tmp_path):
    folder = write_explorer_folder(tmp_path, networks=40, latents=False, predictions=False)
    with served(folder) as address, opened(browser, address) as page:
        page.wait_for_selector("#next >> text=aelle train")
        wait_for_map(page)
        assert traces(page)[0][1] == 40  # before there are latents: λ₁ against how training ended
        page.wait_for_selector("#map-title >> text=largest exponent")
        write_latents(folder, networks=20)
        page.wait_for_selector("#map-title >> text=Latent map")
        page.wait_for_function(
            "document.querySelector('#map .js-plotly-plot').calcdata.some(t => t.length === 20)"
        )
        write_latents(folder)
        page.wait_for_function(
            "document.querySelector('#map .js-plotly-plot').calcdata.some(t => t.length === 40)"
        )


def test_umap_and_three_dimensions(browser, tmp_path):
    folder = write_explorer_folder(tmp_path, networks=3)
    with served(folder) as address, opened(browser, address) as page:
        wait_for_map(page)
        page.click("#dimensions >> text='3-D'")
        page.wait_for_selector("#map .gl-container canvas")
        page.click("#dimensions >> text='2-D'")
        wait_for_map(page)
        page.click("#method >> text='UMAP'")
        page.wait_for_selector("#map >> text=UMAP needs at least 10 points")


@pytest.fixture(scope="module")
def walkable(tmp_path_factory):
    """The address of an experiment whose autoencoder has been fitted."""
    folder = write_fitted_explorer_folder(tmp_path_factory.mktemp("walkable"), 40)
    with served(folder) as address:
        yield address


def test_a_walk_follows_the_head(browser, walkable):
    with opened(browser, f"{walkable}/?tab=walk&focus=000000000003") as page:
        wait_for_trace(page, "decoded here", "#decoded")
        page.wait_for_selector("#walk-predicted >> text=predicted final accuracy")
        before = page.text_content("#walk-predicted")
        page.click("#walk-up")
        page.wait_for_function("t => document.querySelector('#walk-predicted').textContent !== t", arg=before)
        said = [
            float(words.split(",")[0].split()[-1]) for words in (before, page.text_content("#walk-predicted"))
        ]
        assert said[1] > said[0]
        page.wait_for_selector("#walk-nearest button")


def test_the_walker_is_dragged(browser, walkable):
    with opened(browser, f"{walkable}/?tab=walk&focus=000000000003") as page:
        wait_for_trace(page, "decoded here", "#decoded")
        page.wait_for_function(f"Number.isFinite(({WALKER})[0])")
        before = page.text_content("#walk-predicted"), decoded(page)
        x, y, width, height = page.eval_on_selector("#map .nsewdrag", BOX)
        start = page.evaluate(WALKER)
        page.mouse.move(x + start[0] * width, y + start[1] * height)
        page.mouse.down()
        page.mouse.move(x + 0.8 * width, y + 0.3 * height, steps=8)
        page.mouse.up()
        page.wait_for_function(f"(p => Math.abs(p[0] - 0.8) < 0.02 && Math.abs(p[1] - 0.3) < 0.02)({WALKER})")
        page.wait_for_function(
            "t => document.querySelector('#walk-predicted').textContent !== t", arg=before[0]
        )
        assert decoded(page) != before[1]
        page.wait_for_selector("#walk-nearest button")
        page.wait_for_selector("#selection-count >> text=Draw around")


# The walker's place on the map, in shares of its width and height from the top left corner.
WALKER = """(() => {
    const g = document.querySelector('#map .graph'), t = g._fullData.find(t => t.name === 'walker');
    const share = (v, [a, b]) => (v - a) / (b - a);
    return t ? [share(t.x[0], g._fullLayout.xaxis.range), 1 - share(t.y[0], g._fullLayout.yaxis.range)] : [NaN, NaN];
})()"""


def decoded(page):
    return page.evaluate(
        "Array.from(document.querySelector('#decoded .graph')._fullData.find(t => t.name.startsWith('decoded here')).y)"
    )


@pytest.mark.slow
def test_a_hundred_thousand_points(browser, tmp_path):
    folder = write_many_points(tmp_path, networks=100_000)
    with served(folder) as address, opened(browser, address) as page:
        page.wait_for_function(
            "document.querySelector('#map .graph')?._fullData?.some(t => t._length === 100000)",
            timeout=60_000,
        )
        lasso(page, 0.02, 0.02, 0.5, 0.98)
        wait_for_selection(page, r"^A: \d{4,}$")
        wait_for_trace_like(page, "A (", "#bands")
