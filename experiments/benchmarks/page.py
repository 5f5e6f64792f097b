"""How fast the page is: from the command to the map, and from a lasso to the views linked to it.

    python experiments/benchmarks/page.py [--records 10000 100000] [--repeats 5]

Each repetition starts `aelle explore` anew and opens it in a new window of Chromium, so nothing is cached. Medians.
"Of it the page's thread" is processor time of the page's main thread, which other work on the machine does not lengthen.
Needs playwright and Chromium, as the browser tests do.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.explorer_browser import free_port, lasso, launched_browser
from tests.explorer_folder import write_many_points

_LASSOS = ((0.02, 0.02, 0.45, 0.98), (0.3, 0.1, 0.7, 0.6), (0.5, 0.02, 0.98, 0.98), (0.2, 0.3, 0.8, 0.8))
_WATCH = """() => {
    window.seen = {};
    addEventListener("pointerup", () => { window.seen.released = performance.now(); }, true);
    const of = (id) => document.querySelector(id + " .js-plotly-plot")?._fullData ?? [];
    const look = () => {
        const count = of("#map").reduce((n, t) => n + (t.meta === "points" ? t._length : 0), 0);
        if (!window.seen.points && document.querySelector("#map canvas.first-look")) window.seen.points = performance.now();
        if (count && !window.seen.map) window.seen.map = performance.now();
        const shown = of("#bands").map(t => t.name ?? "").find(name => name.startsWith("A ("));
        if (shown !== window.seen.shown) Object.assign(window.seen, {shown, bands: performance.now()});
        requestAnimationFrame(look);
    };
    look();
}"""


# What a row of the table holds: key of the measurement, head, format.
COLUMNS = (
    ("answers", "command → answers", "{:.2f} s"),
    ("paint", "opening → first paint", "{:.2f} s"),
    ("points", "opening → points", "{:.2f} s"),
    ("map", "opening → map", "{:.2f} s"),
    ("thread", "of it the page's thread", "{:.2f} s"),
    ("lasso", "lasso → views", "{:.2f} s"),
    ("first_lasso", "first lasso", "{:.2f} s"),
    ("server", "server, peak", "{:.0f} MB"),
    ("heap", "page's heap", "{:.0f} MB"),
    ("load", "others' load", "{:.0f}"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="an experiment to open instead of a synthetic one")
    options = parser.parse_args()
    print("| records | " + " | ".join(head for _, head, _ in COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for records in [0] if options.folder else options.records:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or write_many_points(Path(temporary), records).root
            found = [measured(folder) for _ in range(options.repeats)]
        middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
        cells = [form.format(middle[name]) for name, _, form in COLUMNS]
        print(f"| {records:,} | " + " | ".join(cells) + " |", flush=True)


def measured(folder: Path) -> dict[str, float]:
    """One start of the server and one window: seconds and megabytes."""
    port, started = free_port(), time.perf_counter()
    with launched_browser() as browser:
        started = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "aelle", "explore", str(folder), "--port", str(port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until_answered(port)
            answered = time.perf_counter() - started
            found = in_browser(browser, f"http://127.0.0.1:{port}")
            peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        finally:
            server.terminate()
            server.wait()
    megabytes = int(peak[1]) / 1000 if peak else float("nan")
    return found | {"answers": answered, "server": megabytes, "load": os.getloadavg()[0]}


def wait_until_answered(port: int) -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.01)


def in_browser(browser, url: str) -> dict[str, float]:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(f"({_WATCH})()")
    page.set_default_timeout(120_000)
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.seen?.map", timeout=120_000)
    metrics = {m["name"]: m["value"] for m in devtools.send("Performance.getMetrics")["metrics"]}
    points = page.evaluate("window.seen.points ?? window.seen.map") / 1000
    drawn = page.evaluate("window.seen.map") / 1000
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    page.wait_for_timeout(1500)
    waits = []
    for corners in _LASSOS:
        before = page.evaluate("window.seen.shown ?? null")
        lasso(page, *corners)
        page.wait_for_function("b => (window.seen.shown ?? null) !== b", arg=before, timeout=60_000)
        waits.append(page.evaluate("window.seen.bands - window.seen.released") / 1000)
        page.wait_for_timeout(1000)
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    page.context.close()
    return {
        "paint": paint,
        "thread": metrics["ThreadTime"],
        "points": points,
        "map": drawn,
        "first_lasso": waits[0],
        "lasso": statistics.median(waits[1:]),
        "heap": heap,
    }


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
