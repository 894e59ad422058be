"""Which broken models are there? One line each, with what is wrong and which checks may find it."""

from __future__ import annotations

from collections.abc import Mapping

from robustpeft.auditing.specimens import (
    adapters,
    batch,
    classes,
    compression,
    decoy,
    degenerate,
    dropout,
    gradient_lies,
    gradient_stops,
    k_winners,
    memory,
    noise,
    normalisation,
    outputs,
    purification,
    reject,
    resizing,
    rounding,
    thermometer,
    voting,
)
from robustpeft.auditing.specimens.base import Build, Specimen, Spoiled

__all__ = ["SPECIMENS", "SPOILED"]

_NO_GRADIENT = ("B3", "B8", "C1", "D19")
_STRONGER = ("B6", "D7", "D9", "D1", "D5", "C6")  # something else does better than attacks by gradients
_RANDOM = ("B1", "B8")
_NOT_THE_MODEL = ("A2", "A9", "A11")


def _specimen(build: Build, expected: tuple[str, ...], what_is_wrong: str, must_be_found: bool = True) -> Specimen:
    return Specimen(build.__name__, what_is_wrong, build, expected, must_be_found)


_ALL = (
    _specimen(gradient_stops.detached, _NO_GRADIENT, "the graph is cut at the images"),
    _specimen(gradient_stops.zero_gradient, _NO_GRADIENT, "the gradient is zero everywhere"),
    _specimen(gradient_stops.tiny_gradient, _NO_GRADIENT, "the gradient is 1e-30 of what it should be"),
    _specimen(gradient_stops.zero_gradient_when_sure, _NO_GRADIENT, "the gradient of confident images is zero"),
    _specimen(gradient_lies.flipped_gradient, _STRONGER, "the gradient points the wrong way"),
    _specimen(gradient_lies.shifted_gradient, _STRONGER, "every pixel has another one's gradient"),
    _specimen(rounding.quantised_inputs, _NO_GRADIENT, "images are rounded to 8 levels"),
    _specimen(rounding.eight_bits, _NO_GRADIENT, "images are converted to bytes inside the model"),
    _specimen(rounding.rounded_features, _NO_GRADIENT, "the first features are rounded"),
    _specimen(rounding.rounded_logits, _NO_GRADIENT, "logits are rounded"),
    _specimen(thermometer.thermometer, _NO_GRADIENT, "pixels are compared with 16 thresholds"),
    _specimen(compression.jpeg_inside, _NO_GRADIENT, "images go through JPEG inside the model"),
    _specimen(resizing.resized_without_gradient, _NO_GRADIENT, "images are made smaller and larger outside the graph"),
    _specimen(
        k_winners.k_winners,
        ("C2", "D19", *_STRONGER),
        "only the largest activations go on",
        must_be_found=False,
    ),
    _specimen(outputs.scaled_logits, ("B3", "B8", "C1", *_STRONGER), "logits are 10,000 times too large"),
    _specimen(outputs.distilled, ("B3", "B8", "C1", *_STRONGER), "logits are 100 times too large, by distillation"),
    _specimen(decoy.decoy, _STRONGER, "one wrong class always stays just behind the first"),
    _specimen(outputs.probabilities, ("B2",), "the outputs are probabilities"),
    _specimen(voting.voting, ("B2", *_NO_GRADIENT), "the outputs are shares of votes"),
    _specimen(noise.noisy_logits, _RANDOM, "logits are noisy"),
    _specimen(noise.noisy_inputs, _RANDOM, "images are made noisy by a generator of the model's own"),
    _specimen(noise.random_padding, _RANDOM, "images are resized and placed at random"),
    _specimen(dropout.dropout_left_on, (*_RANDOM, "A6"), "dropout is at work in eval mode"),
    _specimen(dropout.left_in_training_mode, ("A6", "B1"), "a dropout was left in training mode"),
    _specimen(purification.purification, ("B4", "B8"), "the forward pass optimises the image"),
    _specimen(batch.batch_statistics, ("B7",), "answers depend on the batch's mean"),
    _specimen(batch.mixed_with_neighbour, ("B7",), "answers depend on the next image of the batch"),
    _specimen(memory.call_counter, ("B1", "B7", "B8"), "answers depend on the number of the call"),
    _specimen(memory.query_limit, ("B1", "B7"), "after 2,000 images every answer is zero"),
    _specimen(memory.query_memory, ("B3", "B7", "C1"), "an image near an earlier one gets the earlier answer"),
    _specimen(memory.moving_statistics, ("A6", "B1", "B7", "B8"), "a running mean moves in eval mode"),
    _specimen(normalisation.normalised_twice, ("A2",), "images are normalised twice"),
    _specimen(normalisation.wrong_normalisation, ("A2",), "images come in with half their contrast"),
    _specimen(normalisation.wrong_range, ("A1", "A2"), "images are divided by 255 twice"),
    _specimen(normalisation.normalised_in_place, ("A7", "B1", "C1"), "the caller's images are overwritten"),
    _specimen(classes.classes_permuted, _NOT_THE_MODEL, "classes are in another order than the labels"),
    _specimen(classes.classes_sorted_as_words, _NOT_THE_MODEL, "classes are sorted as words, labels as numbers"),
    _specimen(degenerate.constant, ("A2", "C6", "D5"), "every image gets the first class"),
    _specimen(degenerate.nan_when_unsure, ("B3", "B8", "C1"), "logits near the decision boundary are NaN"),
    _specimen(degenerate.nan_gradients, ("B3", "B8", "C1"), "the gradient at black pixels is NaN"),
    _specimen(reject.reject_class, ("B5", "D13"), "the model may decline to answer"),
    _specimen(adapters.adapter_scaled_to_zero, ("A8",), "the adapter's scaling is zero"),
    _specimen(adapters.adapter_disabled, ("A8",), "the adapter is switched off"),
    _specimen(adapters.adapter_blocks_gradient, ("A8",), "no gradient flows through the adapter"),
    _specimen(adapters.view_folded_wrongly, ("A8", "C5"), "the adapter is folded with the wrong sign"),
    _specimen(adapters.view_without_adapter, ("A8", "C5"), "attacks are shown the model without its adapter"),
)

SPECIMENS: Mapping[str, Specimen] = {specimen.name: specimen for specimen in _ALL}
"""The broken models by name."""

SPOILED: Mapping[str, Spoiled] = {
    spoiled.name: spoiled
    for spoiled in (
        Spoiled("jpeg", "images were saved as JPEG", compression.saved_as_jpeg, ("A3", "A4", "A5")),
        Spoiled("truncation", "pixels were cut down to 8 bits", compression.saved_by_truncation, ("A3", "A4", "A5")),
        Spoiled("normalised", "images were saved normalised", lambda images: (images - 0.5) / 0.5, ("A1", "A3")),
        Spoiled("bytes", "images are in 0 to 255", lambda images: 255 * images, ("A1", "A3")),
        Spoiled("resized", "images were resized and back", resizing.there_and_back, ("A3", "A4", "A9")),
    )
}
"""Ways in which saved adversarial images are no longer those that were found."""
