import pytest

from robustpeft.app import Settings


@pytest.fixture
def asked(monkeypatch):
    """What the page would be made of, instead of the page."""
    from robustpeft.app import serve

    found = []
    monkeypatch.setattr(serve, "serve", lambda settings, tell: found.append(settings) or tell("http://127.0.0.1:1"))
    monkeypatch.delenv("ROBUSTPEFT_PASSWORD", raising=False)
    return found


def test_it_says_where_the_page_is(type_in, asked):
    ended = type_in("app")
    assert ended.status == 0
    assert ended.out == "page: http://127.0.0.1:1 (Ctrl-C ends it)\n"
    assert asked == [Settings()]


def test_what_was_typed(type_in, asked, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBUSTPEFT_PASSWORD", "secret")
    type_in(
        "app",
        tmp_path / "run",
        "--runs",
        tmp_path,
        "--data",
        "digits",
        "--host",
        "0.0.0.0",
        "--user",
        "ada",
        "--port",
        0,
    )
    (settings,) = asked
    assert settings.runs == (tmp_path / "run",)
    assert settings.folders == (tmp_path,)
    assert (settings.host, settings.port, settings.login) == ("0.0.0.0", 0, ("ada", "secret"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("--host", "0.0.0.0"), "others can reach the page; give a login"),
        (("--user", "ada"), "a login takes both"),
        (("--runs", "nowhere"), "there is no directory nowhere"),
        (("--port", "99999"), "port must be"),
    ],
)
def test_what_cannot_be_is_one_message(type_in, asked, typed, message):
    ended = type_in("app", *typed)
    assert (ended.status, asked) == (2, [])
    assert message in ended.err


def test_nothing_to_show_is_one_message(type_in, tmp_path, monkeypatch):
    pytest.importorskip("gradio", reason="needs robustpeft[app]")
    monkeypatch.chdir(tmp_path)
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_MCP_SERVER", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "False")
    ended = type_in("app", "--port", 0)
    assert ended.status == 2
    assert "neither a run nor a record" in ended.err
