"""What the page does in the browser by itself, run by Node where there is one."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from aelle import explorer

FOLDER = Path(explorer.__file__).parent
ASSETS = FOLDER / "assets"
PRELUDE = """
globalThis.window = globalThis;
window.dash_clientside = {no_update: "unchanged", set_props: () => {}};
globalThis.document = {documentElement: {dataset: {theme: "light"}}};
globalThis.matchMedia = () => ({matches: false});
globalThis.aelleFigures = {redraw: () => {}};
"""


def run(call):
    """What an expression gives, with the page's own functions as `page`."""
    program = (
        f"{PRELUDE}{(ASSETS / 'page.js').read_text('utf-8')}\nconst page = window.dash_clientside.page;\n"
    )
    program += f"console.log(JSON.stringify({call}))"
    found = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    return json.loads(found.stdout)


@pytest.mark.skipif(shutil.which("node") is None, reason="scripts are run by Node")
@pytest.mark.parametrize(
    "call, given",
    [
        ('page.theme(0, "?theme=dark")', ["dark", "Light"]),
        ('page.theme(1, "")', ["dark", "Light"]),
        ('page.theme(0, "")', ["light", "Dark"]),
        ('page.display(0, "?display=projector")', ["projector", "Smaller"]),
        ('page.display(1, "")', ["projector", "Smaller"]),
        ('page.display(0, "")', [None, "Larger"]),
        ("page.play(0, true, 0, 3)", [True, "Play", "unchanged"]),
        ("page.play(1, true, 3, 3)", [False, "Pause", 0]),
        ("page.play(1, true, 1, 3)", [False, "Pause", "unchanged"]),
        ("page.play(2, false, 1, 3)", [True, "Play", "unchanged"]),
        ("page.tick(1, 1, 3)", [2, False, "Pause"]),
        ("page.tick(1, 2, 3)", [3, True, "Play"]),
        ("page.tick(1, 3, 3)", ["unchanged", True, "Play"]),
        ("page.renewed(null, 1)", "unchanged"),
        ("page.renewed(2, 1)", 2),
        ("page.count({a: [], b: []})", "Draw around points"),
        ("page.count({a: [1, 2], b: [3]})", "A: 2 · B: 1"),
        ('page.compare({a: [1], b: []}, "network")', "selection"),
        ('page.compare({a: [1], b: []}, "table")', "unchanged"),
        ('page.compare({a: [], b: []}, "network")', "unchanged"),
    ],
)
def test_what_the_page_does_by_itself(call, given):
    assert run(call) == given


def test_scripts_stand_in_files_of_their_own():
    for path in FOLDER.rglob("*.py"):
        assert "=>" not in path.read_text("utf-8"), path


def test_every_function_that_the_page_calls_is_in_a_script():
    scripts = "".join(path.read_text("utf-8") for path in ASSETS.glob("*.js"))
    called = set()
    for path in (FOLDER / "callbacks").glob("*.py"):
        for part in path.read_text("utf-8").split("ClientsideFunction(")[1:]:
            called.add(tuple(word.strip('" ') for word in part.split(")")[0].split(",")))
    assert ("page", "theme") in called
    for space, name in called:
        assert f"{space}: {{" in scripts, space
        assert f"{name}:" in scripts or f"{name}," in scripts or f"{name}}}" in scripts, (space, name)


@pytest.mark.skipif(shutil.which("node") is None, reason="scripts are read by Node")
@pytest.mark.parametrize(
    "path", [*ASSETS.glob("*.js"), FOLDER / "page" / "standalone.js"], ids=lambda p: p.name
)
def test_scripts_can_be_read(path):
    subprocess.run(["node", "--check", path], check=True)
    assert len(path.read_text("utf-8").splitlines()) < 250
