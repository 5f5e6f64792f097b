"""`aelle explore`: one line that says where, no noise of a server, and a browser only where somebody sits before it."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from types import SimpleNamespace

import pytest

from tests.explorer_folder import write_explorer_folder

pytest.importorskip("dash", reason="needs the web extra")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_nothing_else(tmp_path, number):
    folder = write_explorer_folder(tmp_path / "x", networks=6)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-u",
        "-m",
        "aelle",
        "explore",
        str(folder.root),
        "--port",
        str(port),
        "--no-browser",
    ]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = running.stdout.readline()
        assert line == f"http://127.0.0.1:{port}/  (Ctrl-C ends it)\n"
        with urllib.request.urlopen(line.split()[0], timeout=30) as page:
            assert b"dash" in page.read()
        running.send_signal(number)
        output, errors = running.communicate(timeout=30)
    finally:
        running.kill()
    assert (running.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("terminal", "environment", "arguments", "opens"),
    [
        (True, {"DISPLAY": ":0"}, (), True),
        (True, {"WAYLAND_DISPLAY": "wayland-0"}, (), True),
        (True, {"DISPLAY": ":0"}, ("--no-browser",), False),
        (False, {"DISPLAY": ":0"}, (), False),
        (True, {}, (), False),
        (True, {"DISPLAY": ":10", "SSH_CONNECTION": "a b"}, (), False),
    ],
)
def test_a_browser_opens_where_somebody_sits_before_it(
    aelle, tmp_path, monkeypatch, terminal, environment, arguments, opens
):
    folder, opened = write_explorer_folder(tmp_path / "x", networks=6), []
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "aelle.cli.explore.sys",
        SimpleNamespace(platform="linux", stdout=SimpleNamespace(isatty=lambda: terminal)),
    )
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(
        "aelle.explorer.app.serve", lambda *_, on_ready, **__: on_ready("http://127.0.0.1:1/")
    )
    code, output, _ = aelle("explore", folder.root, *arguments)
    assert code == 0
    assert output == "http://127.0.0.1:1/  (Ctrl-C ends it)\n"
    assert opened == (["http://127.0.0.1:1/"] if opens else [])


def test_mistakes_are_one_line_and_exit_code_2(aelle, tmp_path):
    folder = write_explorer_folder(tmp_path / "x", networks=6)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for arguments, message in (
            ((tmp_path / "none",), "no such folder"),
            ((folder.root, "--host", "0.0.0.0"), "use --allow-remote"),
            ((folder.root, "--port", taken.getsockname()[1]), "choose another port"),
        ):
            code, output, errors = aelle("explore", *arguments, "--no-browser")
            assert (code, output) == (2, "")
            assert message in errors
            assert len(errors.splitlines()) == 1
