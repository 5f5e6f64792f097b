"""Pictures of the page, view by view: docs/pictures/page-<view>.png.

    python docs/page_pictures.py [artifacts/latch [view …]]

Opens the page of an experiment in headless Chromium and photographs it. A is the quarter of the
networks that ended worst, B the best quarter. Needs what the browser tests need.
"""

import sys
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from aelle.explorer.data import ExplorerData, load
from aelle.records import ExperimentFolder
from tests.explorer_browser import launched_browser, opened, served

SIZE = {"width": 1360, "height": 850}
PROJECTOR = {"width": 1600, "height": 1000}
NARROW = {"width": 390, "height": 844}


def main(root: str = str(ROOT / "artifacts" / "latch"), *wanted: str) -> None:
    folder = ExperimentFolder(Path(root))
    data = load(folder)
    failures, best = ends(data)
    groups = {"a": "i:" + ",".join(failures), "b": "i:" + ",".join(best)}
    views = {
        "map": {"focus": best[0]},
        "selection": {**groups, "tab": "selection"},
        "special": {**groups, "tab": "special"},
        "table": {**groups, "tab": "table"},
        "trajectories": {**groups, "epoch": 3, "tab": "selection", "colour": "architecture"},
        "arrows": {"epoch": 3, "paths": "arrows", "colour": "architecture", "focus": best[0]},
        "columns": {**groups, "method": "columns", "x": "lambda_max", "y": "final_metric", "focus": best[0]},
        "settings": {**groups, "tab": "parallel"},
        "prediction": {**groups, "tab": "prediction", "epoch": 1},
        "walk": {"focus": best[0], "tab": "walk"},
        "three-dimensions": {"dimensions": 3, "focus": best[0]},
        "dark": {**groups, "tab": "selection", "theme": "dark"},
        "columns-dark": {
            **groups,
            "method": "columns",
            "x": "init_gain",
            "log": "x",
            "tab": "parallel",
            "theme": "dark",
        },
        "narrow": {"focus": best[0], "colour": "architecture"},
        "projector": {**groups, "tab": "selection", "display": "projector"},
    }
    with served(folder) as address, launched_browser() as browser:
        window = browser.new_context(viewport=SIZE, color_scheme="light")
        for name in wanted or views:
            with opened(window, f"{address}/?{urlencode(views[name])}") as page:
                page.set_viewport_size({"projector": PROJECTOR, "narrow": NARROW}.get(name, SIZE))
                page.wait_for_selector("#map .js-plotly-plot .main-svg")
                page.wait_for_timeout(3500)
                save(
                    page.screenshot(full_page=name == "narrow"),
                    ROOT / "docs" / "pictures" / f"page-{name}.png",
                )


def ends(data: ExplorerData) -> tuple[list[str], list[str]]:
    """Ids of the networks that ended worst and best: a quarter of all each, worst and best first."""
    networks = data.networks.dropna(subset="final_metric").sort_values("final_metric", kind="stable")
    names: pd.Series = networks["network_id"].astype(str)
    quarter = len(names) // 4
    ends = names.iloc[:quarter].tolist(), names.iloc[::-1].iloc[:quarter].tolist()
    return ends if data.higher_is_better else ends[::-1]


def save(picture: bytes, path: Path) -> None:
    """Write a screenshot with 256 colours, a third of the size."""
    with Image.open(BytesIO(picture)) as image:
        image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1).save(path, optimize=True)
    print(f"wrote {path.relative_to(ROOT)} ({path.stat().st_size // 1000} kB)")


if __name__ == "__main__":
    main(*sys.argv[1:])
