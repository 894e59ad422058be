"""A record that holds is confirmed; every change of it, honest digests recomputed or not, is noticed."""

import dataclasses
import json
import shutil
import zipfile
import zlib

import numpy as np
import pytest
import torch

from robustpeft.attacks import FGSM, PGD, Square
from robustpeft.auditing import AuditPlan
from robustpeft.auditing.kept_files import file_digest
from robustpeft.backbones import Backbone
from robustpeft.data.image_store import InMemory
from robustpeft.data.split import Split
from robustpeft.errors import UserError
from robustpeft.perturbations import GaussianNoise, PixelDrop
from robustpeft.records import Rate, Seal, read_record, write_record
from robustpeft.study import audit, load, verify, verify_run
from robustpeft.study.undefended import undefend

PLAN = AuditPlan(
    epsilons=(0.01, 0.03),
    attacks=(FGSM(), PGD(steps=3)),
    perturbations=(GaussianNoise(0.1), PixelDrop(0.3)),
    checks="none",
    gallery=0,
)


@pytest.fixture(scope="module")
def audited(run, digits, tmp_path_factory):
    directory = tmp_path_factory.mktemp("audited")
    audit(load(run.path), digits, plan=PLAN, output=directory)
    return directory


@pytest.fixture
def copied(audited, tmp_path):
    shutil.copytree(audited, tmp_path / "audit")
    return tmp_path / "audit"


def outcomes(verification):
    return {finding.claim: finding.outcome for finding in verification.findings}


def broken_row(record, key="pgd@linf:0.03"):
    """Return the place of a row that was right when clean and fell under this condition."""
    return next(
        place for place, row in enumerate(record.rows) if row.predictions["clean"] == row.label != row.predictions[key]
    )


def with_row(record, place, **predictions):
    """Return the record with other predictions in one row, and counts that follow: a forger who can count."""
    rows = list(record.rows)
    rows[place] = dataclasses.replace(rows[place], predictions=rows[place].predictions | predictions)
    measurements = []
    for m in record.measurements:
        hits = [row for row in rows if row.predictions[m.key] == row.label]
        per_class = tuple(
            Rate(sum(row.label == label for row in hits), rate.n) for label, rate in enumerate(m.per_class)
        )
        measurements.append(dataclasses.replace(m, correct=Rate(len(hits), len(rows)), per_class=per_class))
    return dataclasses.replace(record, rows=tuple(rows), measurements=tuple(measurements))


def test_an_honest_record_is_confirmed_in_all_its_claims(audited, run, digits):
    found = verify(audited, run.path, digits)
    assert found.outcome == "confirmed"
    assert [f.claim for f in found.findings] == [
        "files", "seal", "plan", "rows", "ledger", "kept images", "model", "data", "clean",
        "fgsm@linf:0.01", "fgsm@linf:0.03", "pgd@linf:0.01", "pgd@linf:0.03", "transfer@linf:0.03",
        "gaussian_noise@0.1", "pixel_drop@0.3",
    ]  # fmt: skip
    count = read_record(audited)["pgd@linf:0.03"].correct.count
    assert next(f for f in found.findings if f.claim == "pgd@linf:0.03").says == f"at most {count} of 40 correct"


def test_models_in_memory_and_runs_do_as_well(audited, run, digits):
    assert verify(audited, load(run.path), digits).outcome == "confirmed"
    assert verify(audited / "audit.json", run, digits, perturbations=False).outcome == "confirmed"


def test_what_only_the_public_network_broke_is_kept_and_confirmed(run, digits, tmp_path):
    idle = PGD(steps=1, step_size=1e-6, random_start=False)
    plan = dataclasses.replace(PLAN, epsilons=(0.1,), attacks=(idle,), perturbations=())
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    fell = record["clean"].correct.count - record["transfer@linf:0.1"].correct.count
    assert sum(kept.images for kept in record.adversarial) >= fell > 0
    found = verify(tmp_path, run.path, digits)
    assert found.outcome == "confirmed"
    ledger = next(f for f in found.findings if f.claim == "ledger")
    assert ledger.says.endswith("all predictions under attack but transfer@linf:0.1 follow")


def test_a_transfer_that_was_sealed_may_not_be_left_out(copied):
    def without(record):
        rows = tuple(
            dataclasses.replace(row, predictions={k: v for k, v in row.predictions.items() if "transfer" not in k})
            for row in record.rows
        )
        left = tuple(m for m in record.measurements if m.name != "transfer")
        return dataclasses.replace(record, rows=rows, measurements=left)

    edit_record(copied, without)
    assert outcomes(verify(copied))["plan"] == "refuted"


@pytest.mark.parametrize("attacks", [PLAN.attacks, ()], ids=["beside gradients", "alone"])
def test_black_boxes_are_in_the_ledger_and_confirmed(attacks, run, digits, tmp_path):
    plan = dataclasses.replace(PLAN, epsilons=(0.03, 0.1), attacks=attacks, black_box=(Square(queries=30),))
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert record["square@linf:0.1"].correct.count < record["clean"].correct.count
    assert verify(tmp_path, run.path, digits).outcome == "confirmed"


def test_without_a_model_only_the_files_are_compared(audited):
    found = outcomes(verify(audited))
    assert {key: outcome for key, outcome in found.items() if outcome == "confirmed"}.keys() == {
        "files", "seal", "plan", "rows", "ledger", "kept images",
    }  # fmt: skip
    assert found["clean"] == found["pgd@linf:0.03"] == "unchecked"
    assert verify(audited).outcome == "unchecked"


def test_no_attack_is_run(audited, run, digits, monkeypatch):
    monkeypatch.setattr("robustpeft.attacks.driver.Driver.run", lambda *_: pytest.fail("an attack was run"))
    model, backwards = load(run.path), []
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.register_hook(backwards.append)
    assert verify(audited, model, digits).outcome == "confirmed"
    assert not backwards


def edit_json(directory, change):
    file = directory / "audit.json"
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))


def edit_record(directory, change):
    """Write the record anew with a change: all its digests fit again."""
    write_record(change(read_record(directory)), directory)


def edit_line(directory, change):
    file = directory / "audit_images.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def edit_ledger(directory, change, *, mend=True):
    """Change every line of the ledger; the checksums are mended like a forger would."""
    for file in (directory / "ledger").glob("segment-*.jsonl"):
        lines = []
        for line in file.read_bytes().splitlines():
            text, _, checksum = line.rpartition(b"\t")
            new = json.dumps(change(json.loads(text)), separators=(",", ":")).encode()
            lines.append(new + b"\t" + (f"{zlib.crc32(new):08x}".encode() if mend else checksum) + b"\n")
        file.write_bytes(b"".join(lines))


def edit_images(directory, change, *, mend=True):
    """Change every kept image of the larger radius; and its digest in the record, like a forger would."""
    file = directory / "adversarial" / "linf-0.03.npz"
    images = {name: np.load(file)[name] for name in np.load(file).files}
    with zipfile.ZipFile(file, "w") as packed:
        for name, values in change(images).items():
            with packed.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, values)
    if mend:
        mend_digests(directory)


def mend_digests(directory):
    def mended(record):
        files = (dataclasses.replace(k, sha256=file_digest(directory / k.file)) for k in record.adversarial)
        return dataclasses.replace(record, adversarial=tuple(files))

    edit_record(directory, mended)


def reseal(record, **changes):
    fields = {f.name: getattr(record.seal, f.name) for f in dataclasses.fields(Seal)} | {"digest": ""} | changes
    return dataclasses.replace(record, seal=Seal(**fields))


def other_steps(plan):
    attacks = [dict(attack) | ({"steps": 500} if attack["name"] == "pgd" else {}) for attack in plan["attacks"]]
    return dict(plan) | {"attacks": attacks}


def seal_other_steps(record):
    return reseal(record, plan=other_steps(record.seal.plan))


def measure_other_steps(record):
    """Claim in seal and measurements alike that PGD took 500 steps."""
    claimed = tuple(
        dataclasses.replace(m, settings=m.settings | {"steps": 500}) if m.name == "pgd" else m
        for m in record.measurements
    )
    return dataclasses.replace(seal_other_steps(record), measurements=claimed)


def hide(record):
    place = broken_row(record)
    label = record.rows[place].label
    return with_row(record, place, **{m.key: label for m in record.of("attack")})


def hide_from_everything(directory):
    """Claim of one image that it holds: in rows, counts, ledger and all digests. The kept image tells."""
    row = (record := read_record(directory)).rows[broken_row(record)]
    edit_ledger(
        directory,
        lambda line: line | {"broken": False} if line.get("image") == row.id and line["stage"] != "clean" else line,
    )
    edit_record(directory, hide)


def claim_a_break(record):
    """Claim that an image fell that held: the count gets worse than can be shown."""
    place = next(p for p, row in enumerate(record.rows) if row.predictions["fgsm@linf:0.01"] == row.label)
    wrong = (record.rows[place].label + 1) % 10
    return with_row(record, place, **{"fgsm@linf:0.01": wrong, "fgsm@linf:0.03": wrong})


def relabel_clean(record):
    place = next(p for p, row in enumerate(record.rows) if row.predictions["clean"] != row.label)
    return with_row(record, place, clean=record.rows[place].label)


FORGED = {
    "a count": (
        lambda d: edit_json(d, lambda p: p["measurements"][-1]["correct"].update(count=1)),
        {"files"},
    ),
    "the name": (lambda d: edit_json(d, lambda p: p["subject"].update(label="better")), {"files"}),
    "a row": (lambda d: edit_line(d, lambda rows: rows[0]["predictions"].update(clean=11)), {"files", "clean"}),
    "a row that is lost": (lambda d: edit_line(d, lambda rows: rows.pop()), {"files", "rows"}),
    "counts and rows, digests mended": (lambda d: edit_record(d, hide), {"ledger", "worst case"}),
    "counts, rows and ledger, digests mended": (hide_from_everything, {"worst case"}),
    "a break that nothing shows": (lambda d: edit_record(d, claim_a_break), {"ledger"}),
    "a clean prediction": (lambda d: edit_record(d, relabel_clean), {"ledger", "clean"}),
    "a perturbed prediction": (
        lambda d: edit_record(d, lambda r: with_row(r, 0, **{"gaussian_noise@0.1": 99})),
        {"gaussian_noise@0.1"},
    ),
    "the seal": (lambda d: edit_json(d, lambda p: p["seal"].update(seed=1)), {"files", "seal"}),
    "the sealed plan": (lambda d: edit_json(d, lambda p: p["seal"]["plan"].update(norm="l2")), {"files", "seal"}),
    "the sealed plan, digest mended": (lambda d: edit_record(d, seal_other_steps), {"plan", "ledger"}),
    "plan and settings, digest mended": (lambda d: edit_record(d, measure_other_steps), {"ledger"}),
    "the settings": (
        lambda d: edit_json(d, lambda p: p["measurements"][3]["settings"].update(steps=500)),
        {"files", "plan"},
    ),
    "another seed, digest mended": (
        lambda d: edit_record(d, lambda r: dataclasses.replace(reseal(r, seed=9), seed=9)),
        {"ledger", "gaussian_noise@0.1", "pixel_drop@0.3"},
    ),
    "a measurement left out": (
        lambda d: edit_record(d, lambda r: dataclasses.replace(r, measurements=r.measurements[:-1])),
        {"plan"},
    ),
    "the ledger of another seal": (
        lambda d: edit_ledger(d, lambda line: line | {"seal": "0" * 64} if "seal" in line else line),
        {"ledger"},
    ),
    "the ledger without a seal": (
        lambda d: edit_ledger(d, lambda line: {k: v for k, v in line.items() if k != "seal"}),
        {"ledger"},
    ),
    "a line of the ledger": (lambda d: edit_ledger(d, lambda line: line | {"step": 0}, mend=False), {"ledger"}),
    "a step of the ledger, checksums mended": (
        lambda d: edit_ledger(d, lambda line: line | {"prediction": 3} if "prediction" in line else line),
        {"ledger"},
    ),
    "a kept image": (
        lambda d: edit_images(d, lambda images: {k: v * np.float32(0.99) for k, v in images.items()}, mend=False),
        {"kept images", "pgd@linf:0.03"},
    ),
    "kept images too far away, digests mended": (
        lambda d: edit_images(d, lambda images: {k: np.float32(1) - v for k, v in images.items()}),
        {"pgd@linf:0.03"},
    ),
    "kept images beyond the box, digests mended": (
        lambda d: edit_images(d, lambda images: {k: v - np.float32(0.02) for k, v in images.items()}),
        {"pgd@linf:0.03"},
    ),
    "kept images that are not numbers, digests mended": (
        lambda d: edit_images(d, lambda images: {k: v * np.float32("nan") for k, v in images.items()}),
        {"pgd@linf:0.03"},
    ),
    "kept images of another size, digests mended": (
        lambda d: edit_images(d, lambda images: {k: v[:, :8] for k, v in images.items()}),
        {"pgd@linf:0.03"},
    ),
}


@pytest.mark.parametrize(("forge", "claims"), FORGED.values(), ids=FORGED)
def test_every_forgery_is_refuted(copied, run, digits, forge, claims):
    forge(copied)
    found = verify(copied, run.path, digits)
    assert found.outcome == "refuted"
    assert claims <= {finding.claim for finding in found.findings if finding.outcome == "refuted"}


def test_clean_images_in_the_place_of_adversarial_ones_are_recognised(copied, run, digits):
    test = digits.test
    clean = {str(i): test[place].float().numpy() / np.float32(255) for place, i in enumerate(test.ids.tolist())}
    edit_images(copied, lambda images: {name: clean[name] for name in images})
    found = {f.claim: f for f in verify(copied, run.path, digits).findings}
    assert found["pgd@linf:0.03"].outcome == "refuted"
    assert "the model recognises it" in found["pgd@linf:0.03"].says
    assert found["pgd@linf:0.01"].outcome == "confirmed"
    assert set(found["pgd@linf:0.03"].images) <= {row.id for row in read_record(copied).rows}


LOST = {
    "the ledger": (lambda d: shutil.rmtree(d / "ledger"), "ledger"),
    "the kept images": (lambda d: shutil.rmtree(d / "adversarial"), "pgd@linf:0.03"),
    "the rows": (lambda d: (d / "audit_images.jsonl").unlink(), "clean"),
    "half of the kept images": (
        lambda d: edit_images(d, lambda images: dict(list(images.items())[::2])),
        "pgd@linf:0.03",
    ),
}


@pytest.mark.parametrize(("lose", "claim"), LOST.values(), ids=LOST)
def test_what_is_lost_is_not_confirmed(copied, run, digits, lose, claim):
    lose(copied)
    found = verify(copied, run.path, digits)
    assert found.outcome == "unchecked"
    assert outcomes(found)[claim] == "unchecked"


def test_a_ledger_that_was_compacted_is_enough(copied, run, digits):
    next((copied / "ledger").glob("segment-*.jsonl")).unlink()
    assert verify(copied, run.path, digits).outcome == "confirmed"


@pytest.mark.parametrize("size", [1e-6, 0.5])
def test_another_model_is_noticed(audited, run, digits, size):
    model = load(run.path)
    with torch.no_grad():
        next(model.parameters()).add_(size)
    found = verify(audited, model, digits)
    assert outcomes(found)["model"] == "refuted"
    assert found.outcome == "refuted"


def with_pixels(digits, change):
    test = digits.test
    pixels = torch.stack([test[place] for place in range(len(test))])
    store = InMemory(change(pixels))
    return dataclasses.replace(digits, test=Split(store, torch.arange(len(test)), test.labels, test.ids))


def turn_one_value(pixels):
    pixels[0, 0, 0, 0] ^= 1
    return pixels


OTHER_DATA = {
    "one value of one pixel": lambda d: with_pixels(d, turn_one_value),
    "labels": lambda d: dataclasses.replace(d, test=dataclasses.replace(d.test, labels=(d.test.labels + 1) % 10)),
    "other images": lambda d: dataclasses.replace(d, test=d.validation),
    "class names": lambda d: dataclasses.replace(d, classes=tuple("abcdefghij")),
}


@pytest.mark.parametrize("change", OTHER_DATA.values(), ids=OTHER_DATA)
def test_other_data_are_noticed(audited, run, digits, change):
    found = verify(audited, run.path, change(digits))
    assert outcomes(found)["data"] == "refuted"
    assert outcomes(found)["pgd@linf:0.03"] == "unchecked"


def test_the_order_of_the_data_does_not_matter(audited, run, digits):
    turned = digits.test.subset(torch.arange(len(digits.test)).flip(0))
    assert verify(audited, run.path, dataclasses.replace(digits, test=turned)).outcome == "confirmed"


def test_records_without_a_seal_say_so(copied, run, digits):
    edit_record(copied, lambda record: dataclasses.replace(record, seal=None))
    found = outcomes(verify(copied, run.path, digits))
    assert {claim for claim, outcome in found.items() if outcome == "unchecked"} >= {"seal", "plan", "model", "data"}
    assert found["pgd@linf:0.03"] == "confirmed"


def test_a_path_that_leads_out_of_the_record_is_not_followed(copied):
    def point_outside(record):
        kept = (dataclasses.replace(record.adversarial[0], file="../elsewhere.npz"), *record.adversarial[1:])
        return dataclasses.replace(record, adversarial=kept)

    edit_record(copied, point_outside)
    assert outcomes(verify(copied))["kept images"] == "refuted"


def test_classes_of_others_are_not_imported(copied, run, digits):
    def name_a_stranger(record):
        return reseal(record, plan=dict(record.seal.plan) | {"norm": "stranger.module:Norm"})

    edit_record(copied, name_a_stranger)
    found = {f.claim: f for f in verify(copied, run.path, digits).findings}
    assert found["plan"].outcome == "unchecked"
    assert "stranger.module:Norm" in found["plan"].says


def test_an_audit_that_keeps_no_images_says_so(run, digits, tmp_path):
    plan = dataclasses.replace(PLAN, keep_images=False, perturbations=())
    audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert not (tmp_path / "adversarial").exists()
    found = verify(tmp_path, run.path, digits)
    assert found.outcome == "unchecked"
    assert outcomes(found)["clean"] == "confirmed"


def test_nothing_else_can_be_verified(audited, tmp_path):
    with pytest.raises(UserError, match="no audit record"):
        verify(tmp_path)
    with pytest.raises(UserError, match=r"takes a model from rp\.load"):
        verify(audited, torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="needs the images"):
        verify(audited, Backbone().load())


def test_an_audit_that_was_broken_off_and_went_on_is_confirmed(run, digits, tmp_path):
    def leave(progress):
        if progress.key == "pgd@linf:0.03":
            raise KeyboardInterrupt

    plan = dataclasses.replace(PLAN, perturbations=())
    with pytest.raises(KeyboardInterrupt):
        audit(load(run.path), digits, plan=plan, output=tmp_path, observer=leave)
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    fell = record["clean"].correct.count - record["pgd@linf:0.03"].correct.count
    assert sum(kept.images for kept in record.adversarial) >= fell > 0
    assert verify(tmp_path, run.path, digits).outcome == "confirmed"
    assert not list((tmp_path / "ledger").glob("*.safetensors"))


def test_the_wrong_one_of_run_and_undefended_network_is_told_from_another_model(audited, run, digits, tmp_path):
    _, bare = undefend(load(run.path), lambda: digits)
    short = AuditPlan(epsilons=(), attacks=(), perturbations=(), checks="none", gallery=0)
    audit(bare, digits, plan=short, label="undefended", output=tmp_path)
    said = {f.claim: f for f in verify_run(tmp_path, run.path, digits).findings}["model"]
    assert said.outcome == "refuted"
    assert said.says.endswith("of this run's network without its adapter (undefended): add --undefended")
    assert verify_run(tmp_path, run.path, digits, undefended=True).outcome == "confirmed"
    said = {f.claim: f for f in verify_run(audited, run.path, digits, undefended=True).findings}["model"]
    assert "of a tuned model (FullLoRA): leave --undefended out" in said.says


def test_what_the_search_for_small_perturbations_found_is_confirmed(run, digits, tmp_path):
    plan = dataclasses.replace(PLAN, attacks=(FGSM(),), perturbations=(), minimal_norms=True)
    record = audit(load(run.path), digits, plan=plan, output=tmp_path)
    assert record["minimal@linf:0.03"].correct.count <= record["fgsm@linf:0.03"].correct.count
    found = verify(tmp_path, run, digits)
    assert [f.claim for f in found.findings if f.outcome != "confirmed"] == []
