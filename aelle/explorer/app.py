"""The live page: a Dash server on this machine. Everything it needs is served from here."""

from __future__ import annotations

import importlib.util
import ipaddress
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from aelle.explorer.errors import ExplorerError
from aelle.explorer.source import Source
from aelle.records import ExperimentFolder, RecordsError

if TYPE_CHECKING:
    from dash import Dash

__all__ = ["ExplorerError", "create_app", "serve"]


def serve(
    folder: ExperimentFolder,
    *,
    host: str = "127.0.0.1",
    port: int = 8050,
    allow_remote: bool = False,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page of an experiment until interrupted; once it answers, `on_ready` gets its address.

    A host that other machines can reach is refused unless `allow_remote` is given: the page has no password.

    Raises:
        ExplorerError: where Dash is not installed, the folder is none of an experiment, the port is in use,
            or the host is not this machine.
    """
    _require_dash()
    if not (allow_remote or _is_local(host)):
        raise ExplorerError(
            f"{host} can be reached by other machines and the page has no password; use --allow-remote"
        )
    try:
        folder.require()
    except RecordsError as error:
        raise ExplorerError(str(error)) from error
    _require_free(host, port)
    app = create_app(folder, local_only=not allow_remote)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for every request helps nobody
    # Not app.run, which says in eight lines of several colours that a server is running.
    server = make_server(host, port, app.server, threaded=True)
    if on_ready is not None:
        on_ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
    with server:
        server.serve_forever()


def create_app(folder: ExperimentFolder, *, local_only: bool = True) -> Dash:
    """Build the page's Dash application without serving it.

    `local_only` turns away requests that were addressed to another name than this machine's, so that no web
    site a reader has open can talk to the page.
    """
    _require_dash()
    from dash import Dash  # an extra: the package works without it

    from aelle.explorer import callbacks, layout

    source = Source(folder)
    # The page is filled in by a callback, so its parts are not there yet when callbacks are checked.
    app = Dash(
        "aelle.explorer", title=f"aelle: {folder.root.name}", update_title="", serve_locally=True,
        suppress_callback_exceptions=True,
    )  # fmt: skip
    app.index_string = app.index_string.replace("<html>", '<html lang="en">')
    app.layout = lambda: layout.shell(source)
    callbacks.register(app, source)
    if local_only:
        _refuse_foreign_hosts(app)
    return app


def _require_dash() -> None:
    if importlib.util.find_spec("dash") is None:
        raise ExplorerError(
            "the live page needs Dash; run: pip install 'aelle[web]' (or write a file with --html)"
        )


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_free(host: str, port: int) -> None:
    if not 0 < port < 65536:
        raise ExplorerError(f"port {port} is not between 1 and 65535")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as the server does: a closing port is free
        try:
            probe.bind((host, port))
        except OSError as error:
            other = port + 1 if port < 65535 else port - 1
            raise ExplorerError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another port, such as --port {other}"
            ) from error


def _refuse_foreign_hosts(app: Dash) -> None:
    from flask import abort, request

    def check() -> None:
        name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        if not _is_local(name.strip("[]")):
            abort(403, "this page answers to localhost only")

    app.server.before_request(check)
