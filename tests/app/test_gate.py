import asyncio
import base64

import pytest

from robustpeft.app.gate import Gate


async def behind(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"inside"})


def ask(path="/", *, host="127.0.0.1:7860", listens="127.0.0.1", login=None, method="GET", **headers):
    """Return the status and the headers of the answer."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    named = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": raw}
    asyncio.run(Gate(behind, listens, login)(scope, receive, send))
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/config",
        "/assets/index-DphvyggB.js",
        "/static/fonts/ui-sans-serif/ui-sans-serif-Regular.woff2",
        "/gradio_api/queue/join",
        "/gradio_api/queue/data",
        "/gradio_api/heartbeat/abc123",
        "/picture",
        "/records/0123abcd.4567cdef/report.html",
    ],
)
def test_what_the_page_needs_is_open(path):
    assert ask(path)[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file=http://example.org/",
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/upload",
        "/gradio_api/run/predict",
        "/gradio_api/call/predict",
        "/gradio_api/deep_link",
        "/gradio_api/vibe-edit",
        "/gradio_api/stream/x/y/z/playlist.m3u8",
        "/monitoring",
        "/login",
        "/custom_component/x/client/component/y",
        "/assets/../../../../etc/passwd",
        "/records/../../etc/passwd",
        "/records/a/..",
        "/static/%2e%2e/x",
        "//etc/passwd",
        "/etc/passwd",
    ],
)
def test_nothing_else_is(path):
    assert ask(path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "", "192.168.0.2:7860"]
)
def test_another_name_that_leads_to_this_machine_is_refused(host):
    assert ask(host=host)[0] == 403


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860"])
def test_its_own_names_are_welcome(host):
    assert ask(host=host)[0] == 200


def test_a_request_from_another_page_is_refused():
    assert ask("/gradio_api/queue/join", method="POST", origin="http://127.0.0.1:7860")[0] == 200
    for origin in ("http://evil.example", "http://127.0.0.1:9999", "null"):
        assert ask("/gradio_api/queue/join", method="POST", origin=origin)[0] == 403
    assert ask("/picture", method="POST", sec_fetch_site="cross-site")[0] == 403
    assert ask("/", sec_fetch_site="cross-site")[0] == 200  # a link that somebody followed


def test_a_login_is_asked_for_and_only_the_right_one_opens():
    asked = {"login": ("ada", "s:ä"), "listens": "0.0.0.0", "host": "192.168.0.2:7860"}
    status, headers = ask(**asked)
    assert (status, headers["www-authenticate"][:6]) == (401, "Basic ")
    assert ask(**asked, authorization=basic("ada:s:ä"))[0] == 200
    for wrong in (basic("ada:s"), basic("eve:s:ä"), basic(""), "Basic ???", "Bearer x", "", basic("ada:s:ä")[6:]):
        assert ask(**asked, authorization=wrong)[0] == 401


def test_the_browser_is_told_to_load_nothing_from_elsewhere():
    policy = ask()[1]["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


def test_websockets_are_not_answered():
    sent = []

    async def collect(message):
        sent.append(message)

    asyncio.run(Gate(behind, "127.0.0.1", None)({"type": "websocket", "path": "/", "headers": []}, None, collect))
    assert sent == []
