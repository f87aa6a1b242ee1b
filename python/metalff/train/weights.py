"""Weights of frames in the loss, by what the frames are: ``group=liquid:0.5``."""

import math
from dataclasses import replace

from metalff.data import Dataset
from metalff.data.selection import divide
from metalff.errors import MetalffError

EXAMPLE = "give WHAT=VALUE:FACTOR, such as group=liquid:0.5, temperature=300|1000:2, element=Cu:3 or source=my.xyz:0.1"


def weighted(dataset: Dataset, rules: list[str]) -> tuple[Dataset, list[str]]:
    """The frames with their weights times the factor of every rule that holds for them; and a sentence for each rule.

    Args:
        rules: ``WHAT=VALUE[|VALUE…][,…]:FACTOR`` in the words of a selection in brackets, and ``source``.
    Raises:
        MetalffError: a rule cannot be read or holds for no frame, or no frame has a weight.
    """
    notes = []
    given = [frame.weight for frame in dataset if frame.weight != 1.0]
    if given:
        notes.append(f"{len(given)} of {len(dataset)} frames have a weight of their own in the data, {min(given):g} to {max(given):g}")
    for rule in rules:
        words, _, number = str(rule).rpartition(":")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not (words and math.isfinite(factor) and factor >= 0):
            raise MetalffError(f"--weight {rule}: {EXAMPLE}")
        chosen = {id(frame) for frame in _matching(dataset, rule, words)}
        dataset = replace(dataset, frames=tuple(replace(frame, weight=frame.weight * factor) if id(frame) in chosen else frame for frame in dataset))
        notes.append(f"{len(chosen)} of {len(dataset)} frames ({words}) count {factor:g} times in the loss")
    if not any(frame.weight for frame in dataset):
        raise MetalffError(f"no frame of {dataset.name} has a weight above zero, so there is nothing to learn: mend the weights")
    return dataset, notes


def _matching(dataset: Dataset, rule: str, words: str):
    """Frames that the words before the factor hold for."""
    parts = words.split(",")
    sources = [part.partition("=")[2].split("|") for part in parts if part.partition("=")[0].strip() == "source"]
    others = [part for part in parts if part.partition("=")[0].strip() != "source"]
    frames = dataset.frames
    for values in sources:
        frames = tuple(f for f in frames if f.source in values or f.source.rpartition(":")[0] in values)
    if not frames:
        known = ", ".join(sorted({frame.source for frame in dataset})[:5])
        raise MetalffError(f"--weight {rule}: no frame comes from {' or '.join(sources[0])}; the data come from {known}")
    if not others:
        return frames
    try:
        wanted = divide(f"[{','.join(others)}]")[1]
        if "frames" in wanted:
            raise MetalffError(EXAMPLE)
        return replace(dataset, frames=frames).filter(**wanted)
    except MetalffError as error:
        raise MetalffError(f"--weight {rule}: {str(error).removeprefix(f'[{words}]: ')}") from None
