"""Every model by every path: LAMMPS in all ways of dividing the atoms, and ASE, give the numbers of the model's own code.

The closed forms are compared with LAMMPS' own pair styles, the learned models with their frameworks' own calculators: MACECalculator,
NequIPCalculator, SevenNetCalculator, DP, NEP_CPU.
"""

import json
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import metalff.deploy
from cases import STRUCTURES, Script, run_all
from metalff import MLFFCalculator
from metalff.environments import create, environment_python
from metalff.poly.reference import Reference, polynomial
from poly_programs import POLYNOMIAL, put, random_polynomial

REFERENCE = Path(__file__).with_name("framework_reference.py")
DEPLOYING = Path(metalff.deploy.__file__).parent


@dataclass(frozen=True)
class Tolerance:
    energy: float  # eV/atom
    forces: float  # eV/Å
    stress: float  # eV/Å³
    single: float = 2e-4  # eV/Å, forces in float32
    difference: float = 2e-6  # eV/Å, forces as central differences; stress: a twentieth in eV/Å³


ROUND_OFF = Tolerance(energy=1e-9, forces=1e-9, stress=1e-9)
MACE = Tolerance(energy=1e-8, forces=1e-7, stress=1e-8)


@dataclass(frozen=True)
class Model:
    """How a model is compared.

    Attributes:
        ways: names in ``WAYS``.
        elements: of the atom types; two make every third atom of a structure nickel.
        atomic: the reference splits the energy among the atoms in the same way.
        of: the name under which the artefact and the reference are made.
        engine: keywords of ``MLFFCalculator`` and, in the same words, of pair_style mlff.
        slow: compiles a program of a kind that another model has: SevenNet is a NequIP to the engine, DeePMD a strictly local model as Allegro is, and
            Stillinger-Weber a closed form as EAM is; ``make test-all`` has them.
    """

    tolerance: Tolerance
    ways: tuple[str, ...]
    elements: tuple[str, ...] = ("Cu",)
    atomic: bool = True
    of: str = ""
    engine: tuple[tuple[str, object], ...] = (("engine", "torch"),)
    slow: bool = False

    def structure(self, name):
        atoms = STRUCTURES[name].copy()
        if len(self.elements) > 1:
            atoms.symbols[1::3] = "Ni"
        return atoms


WAYS = {  # ranks, keywords of pair_style mlff
    "1 rank": (1, ""),
    "2 ranks": (2, ""),
    "4 ranks": (4, ""),
    "2 ranks wide": (2, "ghosts wide"),
    "4 ranks wide": (4, "ghosts wide"),
    "2 ranks chunk 7": (2, "chunk 7"),
}
ALL_RANKS = ("1 rank", "2 ranks", "4 ranks")
NATIVE = (("engine", "native"), ("spline", 0))
MODELS = {
    "EAM": Model(ROUND_OFF, ALL_RANKS),
    "EAM, a user's module": Model(ROUND_OFF, ("1 rank", "2 ranks"), slow=True),
    "Stillinger-Weber": Model(ROUND_OFF, ALL_RANKS, atomic=False, slow=True),
    "MACE": Model(ROUND_OFF, tuple(WAYS), ("Cu", "Ni")),  # not in the order of the model
    "local MACE": Model(ROUND_OFF, (*ALL_RANKS, "2 ranks chunk 7"), ("Cu", "Ni"), slow=True),
    "MACE, native": Model(ROUND_OFF, tuple(way for way in WAYS if "chunk" not in way), ("Cu", "Ni"), of="MACE", engine=NATIVE),
    "bundled MACE, native": Model(MACE, ("1 rank", "2 ranks"), engine=NATIVE),
    "local MACE, native": Model(ROUND_OFF, ALL_RANKS, ("Cu", "Ni"), of="local MACE", engine=NATIVE, slow=True),
    "NEP": Model(ROUND_OFF, ALL_RANKS, ("Cu", "Ni"), engine=(("engine", "native"),)),
    "polynomial": Model(ROUND_OFF, ALL_RANKS, ("Cu", "Ni"), engine=(("engine", "native"),)),
    "NequIP": Model(ROUND_OFF, ("1 rank", "2 ranks", "4 ranks", "2 ranks wide"), ("Cu", "Ni")),
    "Allegro": Model(ROUND_OFF, ALL_RANKS, ("Cu", "Ni")),
    "DeePMD": Model(ROUND_OFF, ALL_RANKS, ("Cu", "Ni"), slow=True),
    "SevenNet": Model(ROUND_OFF, ("1 rank", "2 ranks", "4 ranks", "2 ranks wide"), ("Cu", "Ni"), slow=True),  # a NequIP to the engine
}
QUIET = ("isolated atom", "two far atoms", "tiny box")  # no forces, by symmetry

OTHER_KINDS = ("MACE", "Stillinger-Weber", "NequIP", "Allegro", "DeePMD", "SevenNet")
"""Whose programs in float32 are those of EAM to the engine."""

ON_FOUR_RANKS = ("EAM", "MACE", "MACE, native")
"""Models that stand for the others of their kind there: strictly local, passing messages, without torch."""


def case(model, *others, slow=False):
    return pytest.param(model, *others, marks=[pytest.mark.slow] if slow or MODELS[model].slow else [])


every_model = pytest.mark.parametrize("model", [case(model) for model in MODELS])
every_structure = pytest.mark.parametrize("name", STRUCTURES)


@pytest.fixture(scope="module")
def kept():
    """What is costly to make, by kind and model."""
    return {}


@pytest.fixture(scope="module")
def polynomial_file(tmp_path_factory):
    return put(tmp_path_factory.mktemp("polynomial") / "model.mlff", random_polynomial(**POLYNOMIAL))


@pytest.fixture
def artefact(model, request):
    found = {
        "EAM": "oracle",
        "EAM, a user's module": "user_eam",
        "Stillinger-Weber": "angular",
        "MACE": "two_layer_mace",
        "bundled MACE, native": "bundled_model",
        "local MACE": "local_mace",
        "NEP": "nep",
        "polynomial": "polynomial_file",
        "NequIP": "nequip",
        "Allegro": "allegro",
        "DeePMD": "deepmd",
        "SevenNet": "sevennet",
    }
    value = request.getfixturevalue(found[MODELS[model].of or model])
    return value[0] if model == "Stillinger-Weber" else value


@pytest.fixture
def calculator(model, artefact, kept):
    if ("calculator", model) not in kept:
        kept["calculator", model] = MLFFCalculator(artefact, **dict(MODELS[model].engine))
    return kept["calculator", model]


@pytest.fixture
def reference(model, artefact, kept, request, tmp_path):
    """By structure: energy, forces, stress[6] in LAMMPS' order and, where they are comparable, atomic energies."""
    source = MODELS[model].of or model
    if ("reference", source) not in kept:
        if model.startswith("EAM"):
            made = by_lammps(request.getfixturevalue("eam_commands"), tmp_path)
        elif model == "Stillinger-Weber":
            made = by_lammps(request.getfixturevalue("angular")[1], tmp_path)
        elif model == "polynomial":
            made = by_numpy(random_polynomial(**POLYNOMIAL), MODELS[model])
        else:
            family = model.lower() if model in ("NEP", "NequIP", "Allegro", "DeePMD", "SevenNet") else "mace"
            made = by_framework(family, artefact, MODELS[model], tmp_path)
        kept["reference", source] = made
    return kept["reference", source]


@pytest.fixture
def outcomes(model, way, artefact, kept, tmp_path):
    """Of LAMMPS, by structure; all structures in one run, because loading the model takes longer than evaluating it."""
    if ("outcomes", model, way) not in kept:
        ranks, keywords = WAYS[way]
        elements = MODELS[model].elements
        keywords += "".join(f" {word} {value}" for word, value in MODELS[model].engine)
        pair = [f"pair_style mlff {keywords}", f"pair_coeff * * {artefact} {' '.join(elements)}"]
        scripts = {name: Script(MODELS[model].structure(name), elements=elements) for name in STRUCTURES}
        kept["outcomes", model, way] = run_all(tmp_path, scripts, [pair], ranks=ranks)
    return kept["outcomes", model, way]


def by_lammps(commands, folder):
    outcomes = run_all(folder, {name: Script(atoms) for name, atoms in STRUCTURES.items()}, [commands])
    return {name: vars(outcome) for name, (outcome,) in outcomes.items()}


def by_numpy(potential, model):
    calculator, made = Reference(potential.elements, potential.r_max, polynomial(potential)), {}
    for name in STRUCTURES:
        atoms = model.structure(name)
        calculator.calculate(atoms)
        found = calculator.results
        made[name] = {key: found[key] for key in ("energy", "forces", "energies")} | {"stress": found.get("stress", np.zeros(6))}
    return made


def by_framework(family, artefact, model, folder):
    create(family)
    with zipfile.ZipFile(artefact) as archive:
        archive.extractall(folder)
    atoms = {name: model.structure(name) for name in STRUCTURES}
    described = {name: {"symbols": list(a.symbols), "positions": a.positions.tolist(), "cell": a.cell.tolist()} for name, a in atoms.items()}
    (folder / "structures.json").write_text(json.dumps(described))
    subprocess.run([environment_python(family), "-P", REFERENCE, family, DEPLOYING, folder], check=True, capture_output=True)
    results = json.loads((folder / "reference.json").read_text())
    return {name: result | {"stress": six(result["stress"])} for name, result in results.items()}


def six(stress):
    """[3,3] → xx, yy, zz, yz, xz, xy."""
    return np.array(stress)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


def agrees(model, reference, energy, forces, stress, energies):
    close = MODELS[model].tolerance
    n = len(forces)
    assert abs(energy - reference["energy"]) <= close.energy * n
    assert energies.sum() == pytest.approx(energy, abs=1e-9 * n)
    np.testing.assert_allclose(forces, reference["forces"], rtol=0, atol=close.forces)
    np.testing.assert_allclose(stress, reference["stress"], rtol=0, atol=close.stress)
    if MODELS[model].atomic:
        np.testing.assert_allclose(energies, reference["energies"], rtol=0, atol=close.energy)


@every_model
@every_structure
def test_reference_is_not_zero(model, name, reference):
    """The other tests must not compare zeros."""
    forces, stress = np.abs(reference[name]["forces"]).max(), np.abs(reference[name]["stress"]).max()
    if name in QUIET:
        assert forces < 1e-6
    else:
        assert 0.1 < forces < 100
    if name in ("isolated atom", "two far atoms"):
        assert stress < 1e-9
    else:
        assert stress > 1e-6


@every_model
@every_structure
def test_ase_agrees(model, name, calculator, reference):
    atoms = MODELS[model].structure(name)
    atoms.calc = calculator
    stress, energies = six(atoms.get_stress(voigt=False)), atoms.get_potential_energies()
    agrees(model, reference[name], atoms.get_potential_energy(), atoms.get_forces(), stress, energies)


@every_structure
@pytest.mark.parametrize(
    "model, way",
    [
        case(
            model, way, slow=way == "4 ranks wide" or (way, model) == ("2 ranks wide", "NequIP") or (way == "4 ranks" and model not in ON_FOUR_RANKS)
        )
        for model, m in MODELS.items()
        for way in m.ways
    ],
)
def test_lammps_agrees(model, way, name, outcomes, reference):
    (ours,) = outcomes[name]
    agrees(model, reference[name], ours.energy, ours.forces, ours.stress, ours.energies)


@pytest.mark.parametrize("model", [case(model, slow=model in OTHER_KINDS) for model in MODELS])
def test_single_precision_stays_near_double(model, artefact, reference):
    atoms = MODELS[model].structure("bulk")
    atoms.calc = MLFFCalculator(artefact, precision="single", **dict(MODELS[model].engine))
    deviation = np.abs(atoms.get_forces() - reference["bulk"]["forces"]).max()
    assert 1e-9 < deviation < MODELS[model].tolerance.single, "below: this is not single precision"


@every_model
def test_forces_and_stress_are_derivatives_of_the_energy(model, calculator):
    atoms, close = MODELS[model].structure("triclinic"), MODELS[model].tolerance.difference
    atoms.calc = calculator
    forces, stress = atoms.get_forces(), atoms.get_stress(voigt=False)
    h = 1e-4

    def slope(change):
        """Of the energy along ``change(atoms, ±h)``."""
        energies = []
        for sign in (1, -1):
            changed = atoms.copy()
            change(changed, sign * h)
            changed.calc = calculator
            energies.append(changed.get_potential_energy())
        return (energies[0] - energies[1]) / (2 * h)

    for i, c in ((0, 0), (31, 1), (70, 2)):

        def move(changed, step):
            changed.positions[i, c] += step

        assert -slope(move) == pytest.approx(forces[i, c], abs=close)
    for a, b in ((0, 0), (1, 1), (0, 1), (1, 2)):

        def strain(changed, step):
            matrix = np.eye(3)
            matrix[a, b] += step / 2
            matrix[b, a] += step / 2
            changed.set_cell(atoms.cell.array @ matrix, scale_atoms=True)

        assert slope(strain) / atoms.get_volume() == pytest.approx(stress[a, b], abs=close / 20)


@every_model
def test_the_energy_is_invariant(model, calculator):
    """Turned, mirrored, shifted, atoms in another order."""
    atoms = MODELS[model].structure("vacancy")
    atoms.calc = calculator
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    rng = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    for sign in (1, -1):
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ (sign * rotation), scale_atoms=False)
        turned.positions = (atoms.positions + [0.3, -1.1, 5.0]) @ (sign * rotation)
        order = rng.permutation(len(atoms))
        turned = turned[order]
        turned.calc = calculator
        assert turned.get_potential_energy() == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(turned.get_forces(), (forces @ (sign * rotation))[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", [case(name) for name, m in MODELS.items() if len(m.elements) > 1])
def test_elements_are_told_apart(model, calculator):
    atoms = MODELS[model].structure("bulk")
    atoms.calc = calculator
    forces = atoms.get_forces()
    swapped = atoms.copy()
    swapped.symbols = ["Cu" if s == "Ni" else "Ni" for s in atoms.symbols]
    swapped.calc = calculator
    assert np.abs(swapped.get_forces() - forces).max() > 0.1
