"""What does the report not show? Sentences that follow from what was, and was not, measured."""

from __future__ import annotations

from collections.abc import Sequence

from robustpeft.records import AuditRecord
from robustpeft.report.comparable import differences
from robustpeft.report.story import listing
from robustpeft.report.wording import condition_name, threat_text
from robustpeft.report.worst_case import main_threats

__all__ = ["limits"]


def limits(records: Sequence[AuditRecord]) -> tuple[str, ...]:
    """Return what a reader must not conclude from these records."""
    data = records[0].data
    sentences = [*_about_attacks(records)]
    if any(record.of("perturbation") for record in records):
        sentences.append(
            "Perturbations were drawn at random, once for every image and strength. They say how a model bears chance, "
            "not how it bears an adversary."
        )
    sentences.append(
        f"Intervals are 95 % Wilson intervals. They cover the chance in which {data.n:,} images were taken, but not "
        "the chance in training: a second seed may land outside."
    )
    sentences.append(
        f"The images are the {data.split} split of {data.name}. Images of another kind may fare otherwise."
    )
    if data.split != "test":
        sentences.append(f"This is the {data.split} split: if a model was selected on it, its numbers are too kind.")
    if data.note:
        sentences.append(data.note)
    return tuple(sentences)


def _about_attacks(records: Sequence[AuditRecord]) -> list[str]:
    names = dict.fromkeys(m.name for record in records for m in record.of("attack") if m.name != "sibling")
    if not names:
        return ["No attack was tried: accuracy on unchanged images says nothing about an adversary."]
    tried = listing([condition_name(name) for name in names])
    sentences = [
        f"Only {tried} searched for adversarial images. What was not found may still exist, so every accuracy under "
        "attack is an upper bound: a stronger search, one that adapts to the model or one that needs no gradients, can "
        "only lower it."
    ]
    for threat in main_threats(records):
        where = threat_text(threat.norm, threat.epsilon)
        sentences.append(
            f"Nothing is said about radii beyond {where}, about other norms, or about changes that no norm "
            "describes, such as rotations, stickers and photographs of a print."
        )
    sentences += [sentence for record in records for sentence in _about_siblings(record)]
    sentences += differences(records)
    sentences += _about_training(records)
    return sentences


def _about_siblings(record: AuditRecord) -> list[str]:
    found = record.of("attack", "sibling")
    if not found:
        return []
    label, borrowed = record.subject.label, found[-1].borrowed
    tried = f"Before any search on {label}, images that had broken other models of its backbone were tried on it"
    if not borrowed:
        return [f"{tried}; none broke it."]
    counts = listing([f"{count:,} of {source}" for source, count in borrowed.items()])
    return [
        f"{tried}; they broke {sum(borrowed.values()):,} ({counts}). On these no search was begun, and they count as "
        "broken under every attack: its counts for single attacks may be lower than those of the searches alone."
    ]


def _about_training(records: Sequence[AuditRecord]) -> list[str]:
    sentences = []
    for record in records:
        trained = record.subject.trained_threat
        if trained is None:
            continue
        beyond = [t for t in main_threats([record]) if t.norm != trained["norm"] or t.epsilon > trained["epsilon"]]
        if beyond:
            faced = listing([threat_text(t.norm, t.epsilon) for t in beyond])
            learnt = threat_text(str(trained["norm"]), float(trained["epsilon"]))
            sentences.append(f"{record.subject.label} was tuned for {learnt} and is shown against {faced} as well.")
    return sentences
