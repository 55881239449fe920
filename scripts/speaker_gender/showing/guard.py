"""What keeps the page to this machine: whom it answers, which files it hands out, and that it asks nobody anything.

Every request that changes something has to come from the page itself, and every file that is handed out has to be one
that the page has made. An audit hook refuses connections to other machines, whatever part of a library wants one.
"""

import ipaddress
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

ADDRESS = "127.0.0.1"
FOLDER = "who_speaks_"  # of a process's temporary files, before its number
# The browser itself refuses whatever is not from here; Gradio's own scripts need the two kinds of 'unsafe'.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"
UPLOAD_ROUTE = "/gradio_api/upload"
FILE_ROUTES = ("/gradio_api/file=", "/file=")
NEEDLESS = ("all_proxy", "http_proxy", "https_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")  # without a network


def stay_here() -> None:
    """Have this process connect to this machine only; call it before Gradio is imported."""
    for name in list(os.environ):
        if name.lower() in NEEDLESS:
            del os.environ[name]
    sys.addaudithook(_refuse_others)


def _refuse_others(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and arguments[0].family in (socket.AF_INET, socket.AF_INET6):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo":
        host = str(arguments[0] or "localhost")
    else:
        return
    try:
        is_here = ipaddress.ip_address(host).is_loopback or host == "0.0.0.0"  # noqa: S104
    except ValueError:
        is_here = host in ("localhost", "b'localhost'")
    if not is_here:
        raise PermissionError(f"the page asks no other machine ({host})")


def temporary_folder() -> Path:
    """Make this process's folder for recordings, and remove those of processes that were killed."""
    own = Path(tempfile.gettempdir())
    for left in own.glob(f"{FOLDER}*_*"):
        number = left.name.removeprefix(FOLDER).partition("_")[0]
        if number.isdecimal() and not _is_alive(int(number)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}_"))


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # there os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def with_guard(app, folder: Path):
    """An ASGI application that refuses what is not the page's own, and whose answers carry POLICY."""

    async def application(scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        async def refuse(status, why):
            start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
            await send_with_policy(start)
            await send({"type": "http.response.body", "body": why.encode()})

        if scope["type"] == "http" and not (_is_own_request(scope) and _is_own_file(scope, folder)):
            return await refuse(403, "only this page itself may ask for that")
        try:
            await app(scope, receive, send_with_policy)
        except OSError as error:
            if not scope["path"].endswith(UPLOAD_ROUTE):
                raise
            await refuse(507, f"The file could not be stored in {folder}: {error.strerror}.")

    return application


def _is_own_request(scope: dict) -> bool:
    """Whether a request comes from this page, or is one that any page may make: to look at it."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if headers.get("sec-fetch-site", "none") in ("cross-site", "same-site"):
        return scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
    origin = headers.get("origin")
    return origin is None or origin == f"http://{headers.get('host')}"


def _is_own_file(scope: dict, folder: Path) -> bool:
    path = unquote(scope.get("raw_path", b"").decode("latin-1") or scope["path"])
    if "proxy=" in path:
        return False
    for route in FILE_ROUTES:
        if path.startswith(route):
            return folder.resolve() in Path(path.removeprefix(route)).resolve().parents
    return True
