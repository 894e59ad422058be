"""The page in a real browser: what a person, with a mouse or without one, finds in it."""

import json
import os
import re
import shutil
from urllib.parse import urlsplit

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")

CHROMIUM = os.environ.get("ROBUSTPEFT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; ROBUSTPEFT_CHROMIUM says where one is"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
PATIENCE = 60_000  # milliseconds
SETTLED = 1500  # milliseconds until what a control set off has been sent: a later wish ends the search before it


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser):
    """Open the page in a context of its own; what it asked for and what went wrong are kept on it."""
    contexts = []

    def open_(address, *, ready=".rp-card", **how):
        context = browser.new_context(**how)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.asked, page.wrong = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("console", lambda said: page.wrong.append(said.text) if said.type == "error" else None)
        page.goto(address)
        page.wait_for_selector(ready)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page, server):
    return open_page(server.address)


def asked(page):
    return page.locator(".rp-asked")


def expect_asked(page, pattern):
    playwright.expect(asked(page)).to_contain_text(re.compile(pattern), timeout=PATIENCE)


def alert(page, text):
    playwright.expect(page.get_by_role("alert").filter(has_text=text)).to_be_visible(timeout=PATIENCE)


def records(page):
    page.get_by_role("tab", name="Records").click()
    page.wait_for_selector(".rp-records table")
    return page


def models(page):
    return page.locator(".rp-records tbody th").evaluate_all("all => all.map(each => each.firstChild.textContent)")


def test_it_opens_with_an_answer_and_asks_nothing_of_any_network(page, server):
    assert page.title() == "robustpeft"
    assert page.locator(".rp-card h3").all_inner_texts() == [
        "undefended",
        "plain (lora)",
        "robust (fulllora), Linf 0.05",
    ]
    assert "Linf 12.7" in asked(page).inner_text() or "Linf 12.8" in asked(page).inner_text()
    page.wait_for_timeout(SETTLED)
    outside = [url for url in page.asked if urlsplit(url).scheme in ("http", "https", "ws", "wss")]
    assert outside
    assert {urlsplit(url).netloc for url in outside} == {urlsplit(server.address).netloc}
    assert page.wrong == []
    assert "OUTSIDE" not in server.said()


def test_an_example_is_picked_without_a_mouse(page):
    button = page.locator("[data-pick]").nth(4)
    name = button.get_attribute("title")
    button.focus()
    page.keyboard.press("Enter")
    expect_asked(page, f"on an image of class {name}\\.")
    playwright.expect(button).to_have_attribute("aria-pressed", "true")
    assert page.locator("[data-pick][aria-pressed=true]").count() == 1
    before = page.locator("[data-pick]").first.get_attribute("data-pick")
    page.get_by_role("button", name="Other examples").press("Space")
    playwright.expect(page.locator("[data-pick]").first).not_to_have_attribute("data-pick", before)


def test_the_slider_moves_by_keys_and_the_answer_follows(page):
    slider = page.get_by_role("slider", name=re.compile("Epsilon"))
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    value = float(slider.input_value())
    assert value > 13
    expect_asked(page, rf"within Linf {value:.3g}/255")
    page.keyboard.press("Home")
    expect_asked(page, r"within Linf 0/255")
    assert page.locator(".rp-verdict.rp-bad").count() == 0


def test_norms_change_the_slider_and_what_cannot_be_is_said(page):
    page.get_by_role("radio", name="L2", exact=True).check()
    expect_asked(page, "within L2 0.5")
    page.get_by_role("radio", name="L1", exact=True).check()
    expect_asked(page, "within L1 12")
    page.get_by_label("Attack", exact=True).click()
    page.get_by_role("option", name="FAB").click()
    playwright.expect(page.locator("#rp-course")).to_contain_text("Press Run to begin", timeout=PATIENCE)
    page.wait_for_timeout(SETTLED)
    page.get_by_role("button", name="Run").click()
    alert(page, "FAB is written for linf and l2; got l1")


def test_perturbations_and_corruptions(page):
    page.get_by_role("radio", name="An information perturbation").check()
    expect_asked(page, r"Patch drop 0\.3")
    page.get_by_label("Perturbation", exact=True).click()
    page.get_by_role("option", name="Patch shuffle").click()
    expect_asked(page, "Patch shuffle 2")
    page.get_by_role("radio", name="A common corruption").check()
    expect_asked(page, "Fog, severity 3")
    slider = page.get_by_role("slider", name=re.compile("Severity"))
    slider.focus()
    page.keyboard.press("End")
    expect_asked(page, "Fog, severity 5")
    pictures = page.locator(".rp-pictures figure:nth-child(2) img").evaluate_all("all => all.map(each => each.src)")
    assert len(set(pictures)) == 1


def test_ones_own_picture(page, encoded, tmp_path):
    (tmp_path / "own.jpg").write_bytes(encoded("JPEG", (50, 40)))
    page.locator("input[type=file]").set_input_files(tmp_path / "own.jpg")
    expect_asked(page, "whose true class nobody named")
    assert page.locator("[data-pick][aria-pressed=true]").count() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello", "This picture cannot be shown: not a picture that can be read here"),
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "This picture cannot be shown"),
        (b"x" * 20_000_001, "the file is too large; at most 20 MB are read"),
    ],
    ids=["text", "empty", "cut", "large"],
)
def test_a_broken_picture_is_a_sentence_in_the_page(page, tmp_path, content, message):
    (tmp_path / "broken.png").write_bytes(content)
    page.locator("input[type=file]").set_input_files(tmp_path / "broken.png")
    alert(page, message)
    expect_asked(page, "on an image of class")  # the answer before is still there


def test_a_long_attack_waits_shows_how_far_it_is_and_can_be_stopped(page):
    page.get_by_label("Attack", exact=True).click()
    page.get_by_role("option", name="AutoAttack").click()
    status = page.locator("#rp-course")
    playwright.expect(status).to_contain_text("Press Run to begin", timeout=PATIENCE)
    page.get_by_role("checkbox", name="undefended").uncheck()
    page.get_by_role("checkbox", name="plain (lora)").uncheck()
    slider = page.get_by_role("slider", name=re.compile("Epsilon"))
    slider.press("Home")
    slider.press("ArrowRight")
    playwright.expect(slider).to_have_value("0.5")  # of 255: so small that it takes all of its time
    page.wait_for_timeout(SETTLED)
    page.get_by_role("button", name="Run").click()
    playwright.expect(page.get_by_role("progressbar")).to_be_visible(timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    playwright.expect(status).to_contain_text("Stopped.", timeout=PATIENCE)
    page.wait_for_timeout(SETTLED)
    assert "Stopped." in status.inner_text()  # no late word of a control moved before Run stands over it


def test_records_are_sorted_filtered_and_compared(page):
    records(page)
    assert models(page)[:2] == ["FullLoRA", "LoRA"]
    page.get_by_role("button", name="Robust").click()
    playwright.expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "ascending")
    assert models(page)[-1] == "FullLoRA"
    page.get_by_label("Filter").press_sequentially("records/a lora")
    playwright.expect(page.locator(".rp-count")).to_contain_text("1 of 3 records")
    page.keyboard.press("Control+a")
    page.keyboard.press("Backspace")
    playwright.expect(page.locator(".rp-count")).to_contain_text("3 of 3 records")
    for name in ("FullLoRA", "LoRA"):
        box = page.get_by_role("checkbox", name=re.compile(f"^Choose {name},"))
        box.focus()
        page.keyboard.press("Space")
        playwright.expect(box).to_be_checked()
        playwright.expect(box).to_have_attribute("checked", "")
    page.get_by_role("button", name="Model").click()
    playwright.expect(page.locator("th[aria-sort]")).to_have_text(re.compile("Model"))
    assert page.locator(".rp-records input:checked").count() == 2
    page.get_by_role("button", name="Compare chosen").click()
    row = page.locator(".rp-comparison tr", has_text="worst case, Linf 0.1")
    playwright.expect(row).to_contain_text("FullLoRA minus LoRA")
    playwright.expect(row).to_contain_text("+20.0")  # 38 and 30 of 40 withstand everything


def test_one_record_alone_is_not_compared(page):
    records(page)
    page.get_by_role("button", name="Compare chosen").click()
    alert(page, "choose at least two records")


def test_a_report_opens_and_a_record_is_downloaded(page):
    records(page)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Report on FullLoRA").click()
    playwright.expect(opened.value.locator("h1")).to_contain_text("How robust is FullLoRA", timeout=PATIENCE)
    with page.expect_download() as started:
        page.get_by_role("link", name="JSON of FullLoRA").click()
    plain = json.loads(started.value.path().read_text())
    assert plain["subject"]["label"] == "FullLoRA"
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV of FullLoRA").click()
    assert started.value.path().read_text().startswith("arm,")


def test_hostile_names_stay_text(page):
    page.get_by_label("Backbone").click()
    page.get_by_role("option").nth(1).click()
    playwright.expect(page.locator("[data-pick] span").first).to_contain_text("onerror", timeout=PATIENCE)
    expect_asked(page, re.escape("{{value}}"))
    records(page)
    assert any("onerror" in model for model in models(page))
    for box in page.locator("[data-choose]").all()[:2]:
        box.check()
        playwright.expect(box).to_have_attribute("checked", "")
    page.get_by_role("button", name="Compare chosen").click()
    page.wait_for_selector(".rp-comparison")
    assert page.title() == "robustpeft"
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    "how",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 400, "height": 800}}],
    ids=["light", "dark", "narrow"],
)
def test_it_is_accessible_and_never_wider_than_the_screen(open_page, server, how):
    axe = pytest.importorskip("axe_core_python.sync_playwright", reason="needs axe-core-python").Axe()
    page = open_page(server.address, **how)
    page.wait_for_timeout(500)

    def violations():
        found = axe.run(page)["violations"]
        return [(v["id"], [n["target"] for n in v["nodes"]]) for v in found if v["impact"] in ("serious", "critical")]

    assert violations() == []
    records(page)
    for box in page.locator("[data-choose]").all()[:2]:
        box.check()
        playwright.expect(box).to_have_attribute("checked", "")
    page.get_by_role("button", name="Compare chosen").click()
    page.wait_for_selector(".rp-comparison")
    page.wait_for_timeout(500)
    assert violations() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]


def test_whoever_logs_in_sees_it(open_page, locked_server):
    who = {"username": "ada", "password": "secret"}
    page = open_page(locked_server.address, ready=".rp-notice", http_credentials=who)
    assert models(records(page)) == ["LoRA"]
