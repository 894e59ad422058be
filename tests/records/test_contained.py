import pytest

from robustpeft.errors import UserError
from robustpeft.records import contained


@pytest.mark.parametrize("name", ["a.json", "deep/a.json", "deep/../a.json", "absent"])
def test_what_stays_is_returned_as_it_was_named(tmp_path, name):
    (tmp_path / "deep").mkdir()
    assert contained(tmp_path, name) == tmp_path / name


@pytest.mark.parametrize("name", ["../a", "deep/../../a", "/etc/hostname", "..", "a\0b"])
def test_what_leads_out_is_refused(tmp_path, name):
    with pytest.raises(UserError):
        contained(tmp_path, name)


def test_a_link_that_leads_out_is_refused_and_one_that_stays_is_not(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "real").write_text("x")
    (tmp_path / "in" / "bad").symlink_to(tmp_path / "secret")
    (tmp_path / "in" / "good").symlink_to("real")
    assert contained(tmp_path / "in", "good").read_text() == "x"
    with pytest.raises(UserError, match="leads out"):
        contained(tmp_path / "in", "bad")


def test_a_folder_that_is_itself_a_link_is_the_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").touch()
    (tmp_path / "link").symlink_to("real")
    assert contained(tmp_path / "link", "a").is_file()


def test_the_hubs_cache_links_to_blobs_beside_its_snapshots(tmp_path):
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "abc", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    (blobs / "123").write_text("x")
    (snapshot / "a.json").symlink_to("../../blobs/123")
    assert contained(snapshot, "a.json").read_text() == "x"
    (snapshot / "b.json").symlink_to("../../../other")
    with pytest.raises(UserError):
        contained(snapshot, "b.json")
