import dataclasses

from robustpeft.report.story import attack_story, default_title, listing, paired_sentences


def test_the_paragraph_says_who_how_far_how_often_and_what_came_of_it(make_record):
    story = attack_story([make_record("FullLoRA", clean={0}, fgsm=set(range(10)), pgd=set(range(5, 25)))])
    assert "change every pixel by up to 0.1" in story
    assert "FGSM and PGD (20 steps) at 2 radii up to this one, 42 gradient computations an image" in story
    assert "Against FullLoRA they win on 24 of 39 images" in story
    assert "(61.5 %), so that 15 of 40 stay right" in story


def test_without_rows_no_success_rate_is_claimed(make_record):
    story = attack_story([make_record(rows=())])
    assert "win" not in story
    assert "right on 39 of 40 images left alone, on 50.0 %" in story


def test_without_attacks_the_paragraph_says_so(make_record):
    record = make_record()
    assert "No attack was measured" in attack_story([dataclasses.replace(record, measurements=(record["clean"],))])


def test_pairs_are_counted_image_by_image(make_record):
    strong = make_record("strong", clean={0, 1}, fgsm=set(), pgd=set(range(2, 6)))
    weak = make_record("weak", clean={1, 2, 3}, fgsm=set(range(5, 39)), pgd=set())
    (sentence,) = paired_sentences([weak, strong])
    # strong keeps 6 to 39; weak keeps 0, 4 and 39
    assert sentence.startswith("strong withstands every attack on 33 images that weak loses, and loses 2 that weak")
    assert "strong misses 1 that weak recognises, and recognises 2 that weak misses" in sentence


def test_there_is_nothing_to_pair_without_a_second_record_or_rows(make_record):
    assert paired_sentences([make_record()]) == ()
    assert paired_sentences([make_record(), make_record(rows=())]) == ()


def test_titles_name_the_subjects_while_they_are_few(make_record):
    assert default_title([make_record("LoRA")]) == "How robust is LoRA on digits?"
    assert default_title([make_record(str(i)) for i in range(4)]) == "How robust are 4 models on digits?"
    assert listing(["a", "b", "c"]) == "a, b and c"


def test_what_was_tried_on_one_model_alone_is_not_said_of_all(make_record):
    seen, asked = make_record("seen"), make_record("asked")
    kept = [m for m in asked.measurements if m.kind != "attack"]
    square = dataclasses.replace(
        seen["pgd@linf:0.1"], key="square@linf:0.1", name="square", settings={"queries": 100}, backwards=0
    )
    rows = tuple(
        dataclasses.replace(r, predictions=r.predictions | {square.key: r.predictions["pgd@linf:0.1"]})
        for r in asked.rows
    )
    asked = dataclasses.replace(asked, measurements=(*kept, square), rows=rows)
    story = attack_story([seen, asked])
    assert "; of asked they see answers and nothing else." in story
    assert "Against seen they try on every image FGSM and PGD (20 steps) at 2 radii up to this one, 42" in story
    assert "Against asked they try on every image Square" in story
    assert attack_story([asked]).startswith("The attacker sees answers and nothing else, and may change every pixel")


def test_the_same_attacks_on_all_are_said_once(make_record):
    story = attack_story([make_record("one"), make_record("two")])
    assert story.count("On every image they try") == 1
    assert "they try on every image" not in story


def with_attack(record, key, name, **fields):
    """Return a record with one attack more, which breaks what PGD broke."""
    other = dataclasses.replace(record["pgd@linf:0.1"], key=key, name=name, **fields)
    rows = tuple(
        dataclasses.replace(r, predictions=r.predictions | {key: r.predictions["pgd@linf:0.1"]}) for r in record.rows
    )
    return dataclasses.replace(record, measurements=(*record.measurements, other), rows=rows)


def test_what_was_tried_at_one_radius_is_not_said_of_all(make_record):
    record = with_attack(make_record(), "transfer@linf:0.1", "transfer", settings={}, backwards=0)
    story = attack_story([record])
    assert "FGSM and PGD (20 steps) at 2 radii up to this one, and Transfer at this one alone, 42" in story


def test_a_version_that_is_not_the_standard_one_is_named(make_record):
    for version, said in (("standard", "AutoAttack at"), ("plus", "AutoAttack (plus) at")):
        record = with_attack(make_record(), "autoattack@linf:0.1", "autoattack", settings={"version": version})
        assert said in attack_story([record])
