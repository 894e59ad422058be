import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # of the hub's own client


def test_it_lists_what_it_sent_and_says_who_sees_it(place: Any, hub: Any, type_in: Callable[..., Any]) -> None:
    ended = type_in("push", place.run(), "ann/cats", "--license", "mit")
    assert ended.status == 0
    *files, last = ended.out.splitlines()
    assert [line.split()[-1] for line in files] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
        "robustpeft.json",
    ]
    assert last.startswith(f"pushed, private: {hub.url}/ann/cats/commit/")
    assert "license: mit" in hub.files("ann/cats")["README.md"].decode()
    assert type_in("push", "run", "ann/open", "--public").out.splitlines()[-1].startswith("pushed, public: ")


def test_a_dry_run_sends_nothing_and_a_branch_leaves_main_alone(
    place: Any, hub: Any, type_in: Callable[..., Any]
) -> None:
    ended = type_in("push", place.run(), "ann/cats", "--dry-run", "--revision", "trial")
    assert ended.out.splitlines()[-1] == "dry run: nothing was sent to hf:ann/cats@trial"
    assert hub.requests == []
    assert type_in("push", "run", "ann/cats", "--revision", "trial").status == 0
    assert "robustpeft.json" not in hub.files("ann/cats")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "cats"), "'cats' is no name on the hub; expected user/name"),
        (("nowhere", "ann/cats"), "nowhere is not a finished run"),
        (("photos", "ann/cats"), "photos is not a finished run"),
        (("run", "ann/cats", "--audit", "photos"), "no audit record at photos"),
    ],
)
def test_what_cannot_be_sent_is_one_message(
    place: Any, hub: Any, type_in: Callable[..., Any], arguments: tuple[str, ...], says: str
) -> None:
    place.run()
    ended = type_in("push", *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert says in ended.err
    assert hub.repos == {}


def test_nothing_of_the_machine_is_sent(place: Any, hub: Any, type_in: Callable[..., Any]) -> None:
    """A folder of photographs, audited by the command line: its place is in recipe and record, and stays there."""
    run = place.run()
    assert type_in("audit", run, "--images", "4", "--device", "cpu").status == 0
    assert str(place.finished.parent) in (run / "recipe.yaml").read_text()
    assert type_in("push", run, "ann/cats").status == 0
    files = hub.files("ann/cats")
    assert "audits/photos-test/audit.json" in files
    assert not [name for name, content in files.items() if re.search(str(place.path.parent).encode(), content)]
