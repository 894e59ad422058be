import pytest

from robustpeft.app.settings import Settings, is_loopback
from robustpeft.errors import UserError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "::1", "[::1]"])
def test_this_machine(host):
    assert is_loopback(host)
    assert Settings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.example.org"])
def test_anything_else_needs_a_login(host):
    assert not is_loopback(host)
    with pytest.raises(UserError, match="others can reach the page; give a login"):
        Settings(host=host)
    assert Settings(host=host, login=("ada", "secret")).login == ("ada", "secret")


@pytest.mark.parametrize("login", [("", "secret"), ("ada", "")])
def test_half_a_login_is_none(login):
    with pytest.raises(UserError, match="a login takes both"):
        Settings(login=login)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot hold a colon"):
        Settings(login=("a:b", "c"))
    with pytest.raises(UserError, match="port must be from 0"):
        Settings(port=65536)
    with pytest.raises(UserError, match=f"there is no directory {tmp_path / 'none'}"):
        Settings(folders=(tmp_path / "none",))


def test_where_one_looks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings().places == ()
    (tmp_path / "robustpeft-demo").mkdir()
    assert [place.name for place in Settings().places] == ["robustpeft-demo"]
    assert Settings(runs=(tmp_path / "run",)).places == ()
    assert Settings(runs=(tmp_path / "run",), folders=(tmp_path,)).places == (tmp_path,)
