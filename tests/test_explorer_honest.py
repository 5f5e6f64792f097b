"""The page shows what is known and no more, in a real browser: groups, cards, the walk, odd folders and addresses."""

import re

import pytest

from tests.explorer_browser import (
    lasso,
    launched,
    lone_points,
    needs_browser,
    opened,
    served,
    wait_for_map,
    wait_for_selection,
    wait_for_trace,
)
from tests.explorer_folder import write_explorer_folder, write_fitted_explorer_folder

pytestmark = [pytest.mark.browser, needs_browser]
WALKER = """(() => {
    const g = document.querySelector('#map .graph'), t = g._fullData.find(t => t.name === 'walker');
    const [x, y] = [g._fullLayout.xaxis.range, g._fullLayout.yaxis.range];
    return {inside: t.x[0] >= x[0] && t.x[0] <= x[1] && t.y[0] >= y[0] && t.y[0] <= y[1], opacity: t.marker.opacity};
})()"""


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A folder whose autoencoder has been fitted."""
    folder = write_fitted_explorer_folder(tmp_path_factory.mktemp("experiment"), 60)
    with served(folder) as address:
        yield address


def test_what_the_legend_hides_stays_in_its_group_and_a_card_stands_by_its_point(browser, address):
    with opened(browser, f"{address}/?colour=architecture") as page:
        wait_for_map(page)
        page.click("#select-shown")
        wait_for_selection(page, "^A: 60$")
        page.click("#map .legendtoggle >> nth=0")
        page.wait_for_function("document.querySelector('#map .graph')._fullData[5].visible === 'legendonly'")
        lasso(page, 0.01, 0.01, 0.99, 0.99)
        page.wait_for_timeout(400)
        wait_for_selection(page, "^A: 60$")
        page.click("#clear")
        wait_for_selection(page, "Draw around")
        page.click("#select-shown")
        wait_for_selection(page, "^A: 40$")  # what is not seen is not taken either
        _, (x, y) = lone_points(page)[0]
        page.mouse.move(x, y)
        page.wait_for_selector("#tip:not([hidden]) table")
        box = page.eval_on_selector(
            "#tip", "e => (r => [r.left, r.right, r.top, r.bottom])(e.getBoundingClientRect())"
        )
        apart = max(box[0] - x, x - box[1], box[2] - y, y - box[3])
        assert 5 < apart < 40, (box, x, y)
        page.mouse.down()
        page.wait_for_selector("#tip", state="hidden")
        page.mouse.move(x + 30, y + 30, steps=4)
        page.keyboard.press("Escape")
        page.mouse.up()


def test_a_walk_ends_where_the_data_end(browser, address):
    with opened(browser, f"{address}/?tab=walk&focus=000000000003") as page:
        wait_for_trace(page, "decoded here", "#decoded")
        for _ in range(25):
            page.click("#walk-up")
            page.wait_for_timeout(60)
        page.wait_for_timeout(500)
        words = page.text_content("#walk-predicted")
        assert words.startswith("predicted"), words
        distance = float(re.search(r"([0-9.e-]+) from the nearest network", words)[1])
        assert distance > 0
        assert page.evaluate(WALKER) == {"inside": True, "opacity": 1}
        sliders = page.eval_on_selector_all(
            "[id^=walk-] [role=slider]", "all => all.map(e => +e.getAttribute('aria-valuenow'))"
        )
        assert len(sliders) == 3
        assert any(abs(value) > 0.05 for value in sliders), "the sliders are in step"
        for name in ("walk-0", "walk-1"):  # as far from the start as sliders lead
            page.focus(f"#{name} [role=slider]")
            page.keyboard.press("End")
            page.wait_for_timeout(300)
        page.wait_for_selector("#walk-predicted >> text=no prediction")
        wait_for_trace(page, "decoded here, far from any network", "#decoded")
        found = page.evaluate(WALKER)
        assert found["inside"]
        assert found["opacity"] < 0.5


def test_before_there_are_latents_there_is_what_was_recorded(browser, tmp_path):
    folder = write_explorer_folder(tmp_path, networks=1, latents=False, predictions=False)
    odd = "dimensions=7&method=pca&tab=zzz&epoch=²"
    with served(folder) as address, opened(browser, f"{address}/?{odd}") as page:
        wait_for_trace(page, "epoch 3", "#spectra")
        wait_for_trace(page, "λ₁", "#curves")
        page.wait_for_selector("#next >> text=needs 20 networks")
        wait_for_map(page)
        page.click("#tab >> text='Latent walk'")
        page.wait_for_selector("#decoded >> text=aelle train")
        page.click("#tab >> text='Selection'")
        wait_for_trace(page, "all shown (1)", "#bands")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_any_two_columns_and_a_search_by_what_networks_are(browser, address):
    with opened(browser, f"{address}/?method=columns&x=init_gain&log=x&paths=arrows&epoch=3") as page:
        wait_for_map(page)
        page.wait_for_selector("#map-title >> text=final validation accuracy against initial gain")
        titles = page.evaluate(
            "(l => [l.xaxis.title.text, l.yaxis.title.text])(document.querySelector('#map .graph')._fullLayout)"
        )
        assert titles == ["initial gain p·√H", "final validation accuracy"]
        places = page.evaluate(
            "document.querySelector('#map .graph')._fullData.filter(t => t.meta === 'points').flatMap(t => [...t.x])"
        )
        assert min(places) > -0.6
        assert max(places) < 1.2  # powers of ten of 0.3 to 12
        assert (
            page.evaluate("document.querySelector('#map .graph')._fullData[2].zorder") == 1
        )  # arrows over points
        page.fill("#search", "no such thing")
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-found >> text=none")
        page.fill("#search", "lstm λ₁<9")
        page.keyboard.press("Enter")
        page.wait_for_selector("#search-found >> text=20 match")
        page.click("#select-found")
        wait_for_selection(page, "^A: 20$")
        page.click("#tab >> text='Prediction'")
        wait_for_trace(page, "A", "#predicted")
        axes = page.evaluate(
            "(l => [l.xaxis, l.yaxis].map(a => a._length / (a.range[1] - a.range[0])))(document.querySelector('#predicted .graph')._fullLayout)"
        )
        assert axes[0] == pytest.approx(axes[1], rel=0.01)


def test_a_page_whose_server_or_folder_has_gone_says_so(browser, tmp_path):
    folder = write_explorer_folder(tmp_path / "here", networks=6)
    page = browser.new_page()
    with served(folder) as address:
        page.goto(address)
        wait_for_map(page)
        (tmp_path / "here").rename(tmp_path / "there")
        page.wait_for_selector("#moved >> text=has been moved or removed")
        (tmp_path / "there").rename(tmp_path / "here")
        page.wait_for_selector("#moved", state="hidden")
    page.wait_for_selector("#gone >> text=has gone")
    page.close()


def test_axe_finds_nothing(browser, address):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(browser, f"{address}/?tab=selection&a=i:000000000001,000000000002") as page:
        page.wait_for_selector("#bands .main-svg")
        assert page.get_attribute("html", "lang") == "en"
        for tab, ready in (
            ("Table", "#table tbody"), ("Latent walk", "#decoded .main-svg"), ("Prediction", "#ladder .main-svg"),
        ):  # fmt: skip
            page.click(f"#tab >> text='{tab}'")
            page.wait_for_selector(ready)
            if tab == "Table":
                assert page.get_attribute("#table th:has-text('final')", "aria-sort") == "descending"
            if tab == "Prediction":
                page.click("#theme-button")
            page.wait_for_timeout(200)
            found = [
                (fault["impact"], fault["id"], fault["nodes"][0]["html"])
                for fault in axe.run(page).response["violations"]
            ]
            assert not found, (tab, found)


def test_settings_are_brushed_into_a_group(browser, address):
    with opened(browser, f"{address}/?tab=parallel") as page:
        page.wait_for_selector("#importance .main-svg")
        page.wait_for_selector("#importance-title >> text=an association, no cause")
        page.evaluate(
            "window.Plotly.restyle(document.querySelector('#parallel .graph'), 'dimensions[0].constraintrange', [[[0.8, 1.2]]])"
        )
        wait_for_selection(page, "^A: 20$")  # the second of three architectures
        page.wait_for_function(
            "new Set(document.querySelector('#parallel .graph')._fullData[0].line.color).size === 2"
        )
