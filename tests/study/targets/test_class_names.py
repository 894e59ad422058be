import pytest

from robustpeft.errors import UserError
from robustpeft.study.targets.class_names import columns_by_name, imagenet_names, read_class_names


def test_imagenet_is_known_by_synset_and_by_word():
    columns, strangers = columns_by_name(imagenet_names(), ("n01440764", "English springer", "garbage_truck"))
    assert (columns, strangers) == ([0, 217, 569], [])  # as in every list of ImageNet's classes
    assert len(imagenet_names()) == 1000


def test_a_word_of_two_classes_is_none():
    columns, strangers = columns_by_name(imagenet_names(), ("crane", "tench"))
    assert (columns, strangers) == ([0], ["crane"])  # the bird and the machine


def test_a_file_has_one_name_a_line(tmp_path):
    file = tmp_path / "names.txt"
    file.write_text("cat\n\ndog \n", encoding="utf-8")
    assert read_class_names(str(file)) == ("cat", "dog") == read_class_names("cat, dog")


@pytest.mark.parametrize(
    ("given", "said"), [("nowhere.txt", "no file of class names"), ("a,b,a", "'a' twice"), ("a,,b", "empty class name")]
)
def test_what_names_no_classes_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        read_class_names(given)
