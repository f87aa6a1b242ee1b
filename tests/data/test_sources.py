"""Sources that do not fit together are told apart from sources with other structures; on the bundled DFT data."""

from dataclasses import replace

import numpy as np
import pytest

from metalff.data import Dataset, join, load, read
from metalff.data.sources import UNITS, check_offsets, check_units, find_offsets, subtract
from metalff.errors import MetalffError


def other(dataset: Dataset, energy=1.0, force=1.0, per_atom=0.0) -> Dataset:
    """The frames as another source, in other units or with another zero of energy."""
    frames = (replace(f, source="other.xyz", energy=f.energy * energy + per_atom * len(f), forces=f.forces * force) for f in dataset)
    return replace(dataset, name="other.xyz", frames=tuple(frames))


@pytest.fixture(scope="module")
def zuo():
    return load("zuo2020-Mo", "train")


@pytest.fixture(scope="module")
def li():
    return load("li2020-Mo", "train")


def test_two_published_sets_of_molybdenum_agree(zuo, li):
    """Their mean energies at 300 K differ by 150 meV per atom, since other volumes were sampled; their constants by 2 meV."""
    both = join([zuo, li])
    check_units(both)
    (offset,) = find_offsets(both)
    assert abs(offset.energy) < 0.005 and offset.unexplained < 0.01
    check_offsets([offset])


@pytest.mark.parametrize("shift", [0.03, -0.5, -4e4])
def test_constants_are_found_and_subtracted(zuo, li, shift):
    both = join([zuo, other(li, per_atom=shift)])
    (offset,) = find_offsets(both)
    # the source with most frames is the reference
    assert (offset.source, offset.reference, offset.element) == ("zuo2020-Mo", "other.xyz", "Mo")
    assert offset.energy == pytest.approx(-shift, abs=0.005)
    with pytest.raises(MetalffError, match="energies of zuo2020-Mo and other.xyz disagree: by .* per atom of Mo.*--offsets fit"):
        check_offsets([offset])
    (left,) = find_offsets(subtract(both, [offset]))
    assert abs(left.energy) < 1e-6


@pytest.mark.parametrize("name", ["zuo2020-Li", "li2020-W"])
@pytest.mark.parametrize("halves", [("[frames=0::2]", "[frames=1::2]"), ("[group=aimd]", "[group=strain]")])
def test_other_structures_are_no_offset(name, halves):
    """MD beside strained cells: other structures with other energies, of one source."""
    one, two = (read(f"{name}:train{half}") for half in halves)
    both = join([one, other(two)])
    check_units(both)
    check_offsets(find_offsets(both))


def test_an_alloy_shares_elements(zuo, li):
    """A constant for each shared element, from frames of both kinds; the element of one source alone needs none."""
    rng = np.random.default_rng(0)
    mixed = tuple(
        replace(f, numbers=np.where(rng.random(len(f)) < k % 5 / 5, 41, 42), source="alloy.xyz", energy=f.energy - 1.0 * len(f))
        for k, f in enumerate(li)
    )
    (offset,) = find_offsets(join([zuo, Dataset("alloy.xyz", mixed)]))
    assert offset.element == "Mo" and offset.energy == pytest.approx(1.0, abs=0.05)


def test_elements_of_one_source_need_nothing():
    sets = [load(f"zuo2020-{e}", "test") for e in ("Li", "Ni", "Cu")] + [load(f"li2020-{e}", "test") for e in ("Nb", "Mo", "Ta", "W")]
    together = join(sets)
    check_units(together)
    assert find_offsets(together) == []


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("swapped", [False, True])
def test_units(unit, swapped, zuo, li):
    energy, force = UNITS[unit]
    changed = other(li, 1 / energy, 1 / force)
    parts = [changed, zuo] if swapped else [zuo, changed]
    with pytest.raises(MetalffError, match="seems to be in .* convert them to eV and eV/Å") as caught:
        check_units(join(parts))
    said = str(caught.value)
    if unit in ("hartree and bohr", "rydberg and bohr", "kcal/mol", "kJ/mol"):
        assert f"seems to be in {unit}" in said
    assert f"{'other.xyz'} seems" in said
