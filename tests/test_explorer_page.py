"""The live page without a browser, the standalone file, and what both say when something is missing."""

import json
import re
import socket
import subprocess
import sys

import pandas as pd
import pytest

from aelle.explorer.app import _is_local, serve
from aelle.explorer.errors import ExplorerError
from aelle.explorer.standalone import page_data, write_html
from aelle.records import ExperimentFolder, RecordsError, write_frame
from tests.explorer_folder import write_explorer_folder

dash = pytest.importorskip("dash")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explorer_folder(tmp_path_factory.mktemp("experiment"))


def test_explorer_never_imports_torch():
    code = (
        "import sys, pkgutil, importlib, aelle.explorer\n"
        "names = [m.name for m in pkgutil.walk_packages(aelle.explorer.__path__, 'aelle.explorer.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "assert len(names) > 10 and 'torch' not in sys.modules, sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_standalone_file_holds_everything_itself(folder, tmp_path):
    path = tmp_path / "page.html"
    write_html(folder, path)
    text = path.read_text("utf-8")
    assert "connect-src" not in text
    assert "default-src 'none'" in text  # the browser itself refuses every request
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=", text.split("plotly.js (basic")[0])
    assert path.stat().st_size < 1.5e6
    block = re.search(r'<script type="application/json" id="data">\n(.*?)\n</script>', text, re.DOTALL)[1]
    content = json.loads(block)
    assert len(content["ids"]) == 60
    assert content["epochs"] == [0, 1, 3]
    assert content["headline"].startswith("At epoch 0")


def test_standalone_data_cannot_end_its_script(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6)
    latents = pd.read_parquet(folder.latents)
    latents["</script><script>alert(1)</script>"] = "<!--<script>"
    write_frame(folder.latents, latents)
    write_html(folder, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "alert(1)</script>" not in text
    assert "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)" in text


def test_standalone_without_latents_says_what_to_do(tmp_path):
    folder = write_explorer_folder(tmp_path, networks=6, latents=False)
    with pytest.raises(ExplorerError, match="aelle train"):
        write_html(folder, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_standalone_where_it_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be written"):
        write_html(folder, tmp_path / "file" / "page.html")


def test_standalone_data_is_finite_json(folder):
    from aelle.explorer.data import load

    json.dumps(page_data(load(folder)), allow_nan=False)


@pytest.fixture(scope="module")
def client(folder):
    from aelle.explorer.app import create_app

    return create_app(folder).server.test_client()


def test_every_script_and_style_is_served_from_here(client):
    page = client.get("/", headers={"Host": "localhost:8050"}).get_data(as_text=True)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    assert any("explorer.css" in source for source in sources)


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost", "[::1]:8050"])
def test_the_page_answers_under_its_own_names(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_the_page_does_not_answer_under_another_name(client):
    assert client.get("/_dash-layout", headers={"Host": "evil.example"}).status_code == 403


def page_text(folder):
    from aelle.explorer import layout
    from aelle.explorer.source import Source
    from aelle.explorer.view import View

    return str(layout.page(Source(folder), View()))


def test_empty_states_say_what_to_do(tmp_path):
    few = write_explorer_folder(tmp_path / "few", networks=6, latents=False, predictions=False)
    assert "needs 20 networks" in page_text(few)
    without = write_explorer_folder(tmp_path / "a", networks=24, latents=False, predictions=False)
    assert "aelle train" in page_text(without)
    for file in without.records.rglob("*.parquet"):
        file.unlink()
    assert "aelle collect" in page_text(without)


def test_a_port_in_use_is_one_clear_line(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ExplorerError, match=f"127.0.0.1:{port}.*choose another port"):
            serve(folder, port=port)


@pytest.mark.parametrize("port", [0, -1, 70000])
def test_ports_that_do_not_exist(folder, port):
    with pytest.raises(ExplorerError, match="between 1 and 65535"):
        serve(folder, port=port)


def test_other_machines_are_refused_unless_asked_for(folder):
    for host in ("0.0.0.0", "192.168.1.4", "example.org", "::"):
        with pytest.raises(ExplorerError, match="no password"):
            serve(folder, host=host)
    assert _is_local("127.0.0.1")
    assert _is_local("::1")
    assert _is_local("localhost")


def test_serving_a_folder_that_is_none(tmp_path):
    with pytest.raises(ExplorerError, match="no such folder"):
        serve(ExperimentFolder(tmp_path / "x"))


def test_without_dash_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExplorerError, match=r"pip install 'aelle\[web\]'"):
        serve(folder)
