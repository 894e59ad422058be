"""The page over HTTP, as somebody asks who does not mean well."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from robustpeft.app.serve import _listen, _shown, serve
from robustpeft.app.settings import Settings
from robustpeft.errors import UserError


def ask(server, path, method="GET", body=None, **headers):
    """Return status and body; the path goes out exactly as it is."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    try:
        connection.request(method, path, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file%3D/etc/passwd",
        "/gradio_api/file/../../etc/passwd",
        "/file=/etc/passwd",
        "/static/../../../../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "/records/..%2f..%2f..%2fetc%2fpasswd/report.html",
        "/records/../../etc/passwd",
        "/svelte/../../../etc/passwd",
        "/gradio_api/file=http://127.0.0.1/",
        "/gradio_api/proxy=https://example.org/",
    ],
)
def test_no_file_and_no_address_is_reached_through_the_page(server, path):
    status, body = ask(server, path)
    assert status in (403, 404)
    assert b"root:" not in body


@pytest.mark.slow
def test_gradio_itself_takes_no_file(server):
    boundary = "x"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\nhello\r\n--{boundary}--\r\n'
    )
    kind = f"multipart/form-data; boundary={boundary}"
    assert ask(server, "/gradio_api/upload", "POST", body, Content_Type=kind)[0] == 404


@pytest.mark.slow
def test_a_picture_is_taken_and_a_bad_one_refused(server, encoded):
    assert ask(server, "/picture", "POST", encoded())[0] == 200
    assert ask(server, "/picture", "POST", b"hello")[0] == 422
    assert ask(server, "/picture")[0] in (404, 405)
    assert ask(server, "/picture", "POST", encoded(), Origin="http://evil.example")[0] == 403


@pytest.mark.slow
def test_other_names_of_this_machine_are_refused(server):
    assert ask(server, "/", Host="evil.example")[0] == 403
    assert ask(server, "/")[0] == 200


@pytest.mark.slow
def test_a_login_is_asked_for_everywhere(locked_server):
    for path in ("/", "/config", "/static/img/logo.svg", "/records/x/report.html", "/gradio_api/heartbeat/x"):
        assert ask(locked_server, path)[0] == 401
    assert ask(locked_server, "/config", Authorization="Basic YWRhOnNlY3JldA==")[0] == 200
    assert ask(locked_server, "/config", Authorization="Basic YWRhOndyb25n")[0] == 401


def test_an_address_that_is_taken_is_an_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match=r"cannot listen on 127\.0\.0\.1, port .*another --port"):
            _listen("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UserError, match=r"cannot listen on 203\.0\.113\.7"):
        _listen("203.0.113.7", 0)


def test_addresses_as_a_browser_takes_them():
    assert (_shown("127.0.0.1"), _shown("::1"), _shown("[::1]")) == ("127.0.0.1", "[::1]", "[::1]")


def test_without_gradio_it_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_MCP_SERVER", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "1")
    with pytest.raises(UserError, match=r"pip install robustpeft\[app\]"):
        serve(Settings(), print)
