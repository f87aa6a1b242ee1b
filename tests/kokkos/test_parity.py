"""mlff/kk against the models themselves: tiles of the processor and the algorithm of a device, on one and two threads and ranks.

The reference is the ASE calculator, which the tests of pair_style mlff hold against every model's own framework. The exact radial functions are
not for a device, so native models are compared with their splines. LAMMPS takes the first space of its KOKKOS, here OpenMP; its Serial space
alone would need a build of its own.
"""

import numpy as np
import pytest

from cases import BAR, STRUCTURES, Script
from kokkos_program import alloy
from metalff import MLFFCalculator
from metalff.paths import shared

EXACT = 1e-10  # of the largest number
WAYS = {  # ranks, threads, keywords
    "tiles": (1, 1, "kernels tiles"),
    "tiles, 2 threads": (1, 2, "kernels tiles"),
    "tiles, 2 ranks": (2, 1, ""),
    "tiles, 2 ranks, wide ghosts": (2, 1, "ghosts wide"),
    "device": (1, 1, "kernels device"),
    "device, 2 threads": (1, 2, "kernels device"),
    "device, 2 ranks": (2, 1, "kernels device"),
    "device, 2 ranks of 2 threads": (2, 2, "kernels device"),
    "device, chunk 7": (2, 1, "kernels device chunk 7"),
}
NATIVE = {"Cu-mace": ("Cu",), "Cu-nep": ("Cu",), "LiNiCuNbMoTaW-mace": ("Cu", "Ni"), "LiNiCuNbMoTaW-nep": ("Cu", "Ni")}


def close(ours, reference, what=EXACT, least=1e-12):
    np.testing.assert_allclose(ours, reference, rtol=0, atol=what * np.abs(reference).max() + least)


def atoms_volume(name):
    return STRUCTURES[name].get_volume()


def structures(elements):
    return {name: alloy(name) if len(elements) > 1 else atoms for name, atoms in STRUCTURES.items()}


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def references(model, kept):
    if model not in kept:
        calculator = MLFFCalculator(shared("potentials", "mlff", f"{model}.mlff"))
        kept[model] = {}
        for name, atoms in structures(NATIVE[model]).items():
            atoms = atoms.copy()
            atoms.calc = calculator
            stress = atoms.get_stress(voigt=False)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            kept[model][name] = atoms.get_potential_energy(), atoms.get_forces(), stress, atoms.get_potential_energies()
    return kept[model]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("model", NATIVE)
def test_native_models_agree(model, way, program, references, tmp_path):
    ranks, threads, keywords = WAYS[way]
    elements = NATIVE[model]
    pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {shared('potentials', 'mlff', model + '.mlff')} {' '.join(elements)}"]
    scripts = {name: Script(atoms, elements=elements) for name, atoms in structures(elements).items()}
    for name, ours in program.outcomes(tmp_path, scripts, pair, ranks=ranks, threads=threads).items():
        energy, forces, stress, energies = references[name]
        close(ours.energy, energy)
        close(ours.forces, forces)
        close(ours.stress, stress)
        close(ours.energies, energies)
        close(ours.stresses.sum(axis=0)[[0, 1, 2, 5, 4, 3]] * BAR / atoms_volume(name), stress, 1e-9)


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith("tiles")])
def test_torch_agrees(way, program, oracle, eam_commands, tmp_path):
    """A program of torch against pair_style eam/alloy of the same LAMMPS."""
    ranks, threads, keywords = WAYS[way]
    scripts = {name: Script(STRUCTURES[name]) for name in ("bulk", "triclinic", "surface", "cluster in a corner")}
    ours = program.outcomes(tmp_path, scripts, [f"pair_style mlff {keywords}", f"pair_coeff * * {oracle} Cu"], ranks=ranks, threads=threads)
    theirs = program.outcomes(tmp_path, scripts, eam_commands, kokkos=False)
    for name in scripts:
        assert np.abs(theirs[name].forces).max() > 0.1
        close(ours[name].energy, theirs[name].energy, 1e-9)
        close(ours[name].forces, theirs[name].forces, 1e-8)
        close(ours[name].stress, theirs[name].stress, 1e-8)


@pytest.mark.parametrize("model", ["Cu-mace", "Cu-nep"])
def test_single_precision_stays_near_double(model, program, references, tmp_path):
    pair = ["pair_style mlff kernels device precision single", f"pair_coeff * * {shared('potentials', 'mlff', model + '.mlff')} Cu"]
    (ours,) = program.outcomes(tmp_path, {"bulk": Script(STRUCTURES["bulk"])}, pair).values()
    deviation = np.abs(ours.forces - references["bulk"][1]).max()
    assert 1e-9 < deviation < 2e-4, "below: this is not single precision"
