"""Parts of a set, ``zuo2020-Mo:train[temperature=300|1000,group=aimd]``, and sets joined to one."""

import os
from dataclasses import replace
from pathlib import Path

from metalff.data.frame import Dataset
from metalff.data.labels import NO_KEYS, Keys
from metalff.errors import MetalffError, nearest

KEYS = ("element", "group", "temperature", "split", "frames")
READING = ("energy_key", "forces_key", "stress_key", "virial_key", "stress_factor", "elements")
"""What brackets say of how a file is read, rather than of what is kept."""


def named(spec) -> str:
    """What names a set or a file, as text.

    Raises:
        MetalffError: it is neither text nor a path, or it is empty, which a path would take for the current folder.
    """
    if not isinstance(spec, str | os.PathLike):
        raise MetalffError(f"{spec!r} names no frames; give the name of a set (metalff data list), a file or a folder")
    if not (text := os.fspath(spec)).strip():
        raise MetalffError("the name of the frames is empty; give that of a set (metalff data list), a file or a folder")
    return text


def divide(spec: str) -> tuple[str, dict]:
    """A spec without its brackets, and what they ask for: keywords of ``select`` and ``reading``.

    Raises:
        MetalffError: the brackets cannot be read.
    """
    if not spec.endswith("]") or "[" not in spec:
        return spec, {}
    name, _, inside = spec[:-1].rpartition("[")
    wanted = {}
    for part in inside.split(","):
        key, equals, value = (word.strip() for word in part.partition("="))
        if key not in (*KEYS, *READING) or not (equals and value):
            raise MetalffError(
                f"{spec}: '{part.strip()}' is no selection{nearest(key, (*KEYS, *READING))}; give {', '.join(f'{k}=…' for k in KEYS)}, such as "
                "temperature=300|1000 or frames=0:100"
            )
        try:
            wanted[key] = {"temperature": _numbers, "frames": _slice, "stress_factor": float}.get(key, str if key.endswith("_key") else _words)(value)
        except ValueError:
            example = {"temperature": "kelvin, as in temperature=300|1000", "frames": "a range, as in frames=0:100"}.get(key, "a number")
            raise MetalffError(f"{spec}: {key}={value} cannot be read; give {example}") from None
    return name, wanted


def whole_of(spec: str) -> str:
    """A spec without its brackets; a path may have some of its own."""
    return spec if Path(spec).exists() else divide(spec)[0]


def reading(wanted: dict, keys: Keys = NO_KEYS) -> tuple[Keys, tuple[str, ...]]:
    """Take what says how a file is read out of ``wanted``: keys, where those in brackets win over ``keys``, and elements of numbered types."""
    own = {key.removesuffix("_key"): wanted.pop(key) for key in READING if key in wanted and key != "elements"}
    return replace(keys, **own), wanted.pop("elements", ())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(float(word.removesuffix("K")) for word in text.split("|"))


def _slice(text: str) -> slice:
    bounds = [int(word) if word.strip() else None for word in text.split(":")]
    if not 2 <= len(bounds) <= 3 or (len(bounds) == 3 and not bounds[2]):
        raise ValueError(text)
    return slice(*bounds)


def select(dataset: Dataset, *, element=None, group=None, temperature=None, split=None, frames=None) -> Dataset:
    """The frames with any of these elements, groups, temperatures (K) and splits, of those that the slice ``frames`` leaves.

    Raises:
        MetalffError: nothing is left.
    """
    if frames is not None:
        bounds = ":".join("" if b is None else str(b) for b in (frames.start, frames.stop, frames.step))
        words = f"frames={bounds.removesuffix(':') if frames.step is None else bounds}"
        kept = dataset.frames[frames]
        if not kept:
            raise MetalffError(f"{dataset.name} has {len(dataset)} frames and none with {words}")
        dataset = replace(dataset, name=f"{dataset.name}[{words}]", frames=kept)
    wanted = {"element": element, "group": group, "temperature": temperature, "split": split}
    return dataset.filter(**{key: value for key, value in wanted.items() if value is not None})


def join(datasets: list[Dataset]) -> Dataset:
    """One set of all frames, in order; name, citations and licences are those of the parts, each once."""
    if len(datasets) == 1:
        return datasets[0]

    def together(words, between):
        return between.join(dict.fromkeys(filter(None, words)))

    return Dataset(
        name=together((d.name for d in datasets), " + "),
        frames=tuple(frame for dataset in datasets for frame in dataset),
        citation=together((d.citation for d in datasets), "\n"),
        licence=together((d.licence for d in datasets), ", "),
        notes=tuple(dict.fromkeys(note for d in datasets for note in d.notes)),
    )
