import pytest
from hypothesis import given, strategies as st

from robustpeft.study.private_paths import find_path, without_paths

LEAKS = {
    "/home/ann/photos": "photos",
    "/home/ann smith/my photos": "my photos",
    "~/photos/": "photos",
    "C:\\Users\\Ann\\photos": "photos",
    "C:/Users/Ann/photos": "photos",
    "\\\\server\\share\\photos": "photos",
    "file:///data/photos": "photos",
    "robustpeft audit /mnt/runs/a --data=/data/cats/tiny -o ~/out": "robustpeft audit a --data=tiny -o out",
    "weights at '/data/w.pth', read twice": "weights at 'w.pth', read twice",
    "(see /srv/x/y)": "(see y)",
}


@pytest.mark.parametrize("text", LEAKS)
def test_an_absolute_path_keeps_its_last_part(text):
    assert find_path(f"in {text}" if " " not in text else text) is not None
    assert without_paths(text) == LEAKS[text]
    assert find_path(without_paths(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/ann/digits",
        "hf:ann/digits@main",
        "epsilon 8/255 and 16 / 255",
        "a/b/c",
        "runs/a --images 10",
        "and/or",
        "<b>x</b></details>",
        "1 C: no path",
        "",
    ],
)
def test_what_is_no_path_of_a_machine_stays(text):
    assert find_path(text) is None
    assert without_paths(text) == text


def test_the_place_of_this_session_is_found_even_with_a_blank_in_it(tmp_path, monkeypatch):
    place = tmp_path / "ann's pictures"
    place.mkdir()
    monkeypatch.chdir(place)
    assert find_path(f"see {place}/cats now") is not None
    assert without_paths(f"see {place}/cats now") == "see cats now"


def test_data_are_cleaned_within_and_classes_stay_as_they_are():
    given_ = {"a": ["/home/ann/x", {"b": "/home/ann/y", "n": 3, "none": None}], "classes": ["/home/ann"]}
    assert without_paths(given_) == {"a": ["x", {"b": "y", "n": 3, "none": None}], "classes": ["/home/ann"]}


@given(st.lists(st.text("abcé-_.1", min_size=1).filter(lambda part: part.strip(".")), min_size=2, max_size=5))
def test_no_path_of_any_parts_survives(parts):
    text = f"made by /{'/'.join(parts)} today"
    assert find_path(without_paths(text)) is None
