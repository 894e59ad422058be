import pytest

from robustpeft.cli.attack_option import attack_from_text
from robustpeft.errors import UserError


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("fgsm", {"name": "fgsm"}),
        ("pgd:steps=50,restarts=5", {"name": "pgd", "steps": 50, "restarts": 5}),
        ("pgd:random_start=false", {"name": "pgd", "random_start": False}),
        ("pgd:step_size=2/255", {"name": "pgd", "step_size": "2/255"}),
        ("package.module:Class", {"name": "package.module:Class"}),
        ("package.module:Class:steps=3", {"name": "package.module:Class", "steps": 3}),
        ("pgd:loss=package.module:Class", {"name": "pgd", "loss": "package.module:Class"}),
        ("a.b:C:steps=3,loss=d.e:F", {"name": "a.b:C", "steps": 3, "loss": "d.e:F"}),
    ],
)
def test_an_attack_reads_as_a_recipe_would_write_it(text: str, plain: dict[str, object]) -> None:
    assert attack_from_text(text) == plain


@pytest.mark.parametrize("text", ["", ":steps=3", "steps=3", "pgd:steps=", "pgd:=3", "pgd:steps=3,", "pgd:steps=[3"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        attack_from_text(text)
