"""The page is whole at every width, at every zoom, and in both themes, in a real browser."""

import pytest

from aelle.explorer.standalone import write_html
from tests.explorer_browser import file_url, launched, needs_browser, opened, served
from tests.explorer_folder import write_explorer_folder

pytestmark = [pytest.mark.browser, needs_browser]

# What the window is to the page: 1440 × 900 at 200 % is 720 × 450.
SIZES = [(390, 844), (720, 450), (720, 900), (820, 1180), (1280, 720), (1440, 900), (1920, 1080)]
LOWEST = 165  # pixels: axes, their titles, a legend and 80 pixels of curves
MEASURE = """() => {
    const shown = [...document.querySelectorAll(".plot")].filter(e => e.offsetParent);
    return {
        wide: document.documentElement.scrollWidth - innerWidth,
        high: document.documentElement.scrollHeight - innerHeight,
        plots: shown.map(e => [e.clientWidth, e.clientHeight]),
        drawn: shown.map(e => [...e.querySelectorAll(".main-svg")].map(s => s.getBoundingClientRect())
            .map(r => [Math.round(r.width), Math.round(r.height)])[0]),
    };
}"""
FITS = """() => [...document.querySelectorAll(".plot")].filter(e => e.offsetParent).every(e => {
    const svg = e.querySelector(".main-svg")?.getBoundingClientRect();
    return svg && Math.abs(svg.width - e.clientWidth) < 2 && Math.abs(svg.height - e.clientHeight) < 2;
})"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


def assert_whole(page, count, size, what):
    page.wait_for_function(FITS)
    found = page.evaluate(MEASURE)
    assert len(found["plots"]) == count, (what, size)
    assert found["wide"] <= 0, (what, size, found)
    for width, height in found["plots"]:
        assert height >= LOWEST, (what, size, found)
        assert width >= 0.85 * min(size[0], 400), (what, size, found)
    if size[0] > 1000:
        assert found["high"] <= 0, (what, size, found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_is_seen_at_every_size(browser, folder, theme):
    chosen = "a=i:000000000001,000000000002,000000000003&focus=000000000004"
    with served(folder) as address, opened(browser, f"{address}/?{chosen}&theme={theme}") as page:
        page.wait_for_selector("#curves .main-svg")
        for size in SIZES if theme == "light" else SIZES[::3]:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert_whole(page, 3, size, "network")
        for tab, count in {"Selection": 3, "What is special": 2, "Prediction": 3}.items():
            page.click(f"#tab >> text='{tab}'")
            for size in (SIZES[0], SIZES[4]) if theme == "light" else (SIZES[1],):
                page.set_viewport_size({"width": size[0], "height": size[1]})
                assert_whole(page, count, size, tab)
        page.set_viewport_size({"width": 1440, "height": 900})
        page.click("#tab >> text='Network'")
        page.click("#size-button")
        page.wait_for_selector("#size-button >> text=Smaller")
        assert_whole(page, 3, (1440, 900), "larger type")


def test_the_saved_page_is_whole_at_every_size(browser, folder, tmp_path):
    write_html(folder, tmp_path / "page.html")
    with opened(browser, file_url(tmp_path / "page.html")) as page:
        for size in SIZES[::2]:
            page.set_viewport_size({"width": size[0], "height": size[1]})
            assert_whole(page, 3, size, "saved page")
