import base64
import dataclasses
import random
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from robustpeft.errors import UserError
from robustpeft.records import ImageRow, Rate
from robustpeft.report import render_html
from robustpeft.report.wording import count_text, interval_text

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects what the tests ask about, and fails on elements that are not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack, self.tags, self.headings, self.addresses, self.text = [], [], [], [], []
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self.addresses += [v for k, v in attrs if k in {"src", "href", "srcset", "action", "data"}]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def records(make_record):
    return [make_record("undefended", pgd=set(range(40))), make_record("FullLoRA")]


def test_every_measured_count_is_on_the_page(records):
    text = " ".join(Page(render_html(records)).text)
    for record in records:
        for measurement in record.measurements:
            assert count_text(measurement.correct) in text
            assert interval_text(measurement.correct) in text


def test_how_to_reproduce_is_complete(records):
    text = " ".join(Page(render_html(records)).text)
    for expected in ("robustpeft audit runs/a --seed 17", "17", "d" * 64, "torch 2.11.0", "device cpu", "2026-01-31"):
        assert expected in text


def test_the_page_loads_nothing_and_runs_nothing(records):
    html = render_html(records)
    page = Page(html)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"https?:|@import|url\((?!#)", html)
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]


def test_texts_of_data_and_models_are_escaped(make_record):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    record = make_record(evil, command=evil, environment={evil: evil}, created=evil)
    item = dataclasses.replace(record.gallery[0], original_png=evil, difference_png=evil)
    subject = dataclasses.replace(record.subject, backbone=evil, method={"name": evil}, tuning={evil: evil})
    data = dataclasses.replace(record.data, classes=(evil,) * 4, name=evil, split=evil, note=evil, digest=evil)
    measurements = tuple(
        dataclasses.replace(m, name=evil, settings={evil: m.strength}) if m.kind != "clean" else m
        for m in record.measurements
    )
    record = dataclasses.replace(record, subject=subject, data=data, gallery=(item,), measurements=measurements)
    page = Page(render_html([record, record], title=evil))
    assert not {tag for tag, _ in page.tags} & {"script"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert [attributes["src"] for tag, attributes in page.tags if tag == "img" and attributes["src"] == "x"] == []


def test_headings_are_in_order_and_tables_have_heads(records):
    page = Page(render_html(records))
    assert page.headings.count(1) == 1
    assert page.headings[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(page.headings))
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    assert {"header", "main", "footer"} <= {tag for tag, _ in page.tags}


def test_ids_are_unique_and_what_is_referred_to_exists(records):
    page = Page(render_html(records))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {i for _, a in page.tags for i in a.get("aria-labelledby", "").split()}
    assert named <= set(ids)


def test_a_record_without_attacks_perturbations_or_gallery_still_makes_a_page(make_record):
    record = make_record()
    bare = dataclasses.replace(record, measurements=(record["clean"],), rows=(), gallery=(), command="", environment={})
    text = " ".join(Page(render_html([bare])).text)
    assert "No attack was measured" in text
    assert "Accuracy against epsilon" not in text


def test_a_page_full_of_large_images_stays_below_2_mb(make_record):
    (item,) = make_record().gallery
    large = dataclasses.replace(item, original_png=item.original_png + "A" * 100_000)
    records = [make_record(gallery=tuple(dataclasses.replace(large, id=i) for i in range(30)))] * 3
    html = render_html(records)
    assert len(html.encode()) < 2_000_000
    assert "more were left out" in html


def test_records_of_other_images_are_refused(make_record):
    with pytest.raises(UserError, match="differ"):
        render_html([make_record("a"), make_record("b", data={"digest": "e" * 64})])


def test_nothing_is_ever_called_without_danger(records):
    assert not re.search(r"\bsafe\b", render_html(records), re.IGNORECASE)


def test_three_audits_of_a_thousand_images_in_a_thousand_classes_stay_below_2_mb(make_record):
    """Pages of ImageNet are the largest there are: tables by class, and a gallery of pictures of 224 pixels."""
    generator = random.Random(0)
    noise = base64.b64encode(generator.randbytes(60_000)).decode()  # a picture of 224 pixels does not compress better
    (item,) = make_record().gallery
    item = dataclasses.replace(item, original_png=noise, adversarial_png=noise, difference_png=noise)
    n, classes = 1000, tuple(f"a class with a name of usual length {i}" for i in range(1000))
    example = make_record()
    per_class = tuple(Rate(i % 2, 1) for i in range(n))
    measurements = tuple(
        dataclasses.replace(m, correct=Rate(n // 2, n), per_class=per_class) for m in example.measurements
    )
    rows = tuple(ImageRow(i, i, {m.key: i if i % 2 else (i + 1) % n for m in measurements}) for i in range(n))
    records = [
        make_record(
            label,
            data={"n": n, "classes": classes},
            gallery=tuple(dataclasses.replace(item, id=i) for i in range(12)),
            measurements=measurements,
            rows=rows,
        )
        for label in ("one", "two", "three")
    ]
    assert len(render_html(records).encode()) < 2_000_000
