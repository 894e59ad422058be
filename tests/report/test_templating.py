import pytest
from jinja2 import UndefinedError

from robustpeft.report.templating import page_templates


def test_what_comes_from_a_record_is_escaped_and_what_is_missing_is_an_error():
    template = page_templates().from_string("{{ name }}")
    assert template.render(name="<b>") == "&lt;b&gt;"
    with pytest.raises(UndefinedError):
        template.render()


def test_every_template_can_be_read():
    templates = page_templates()
    assert {"page.html", "transfer.html", "head.html"} <= set(templates.list_templates())
    for name in templates.list_templates(extensions=["html"]):
        templates.get_template(name)
