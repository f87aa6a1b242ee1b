"""Potentials to test with, and the structures that numbers of other codes belong to."""

import json
import re
from pathlib import Path

import ase
import numpy as np

HERE = Path(__file__).parent / "poly"
YACE = HERE / "AlNi.yace"
"""Random, made by peers.py: ranks 1 to 5, two densities and one, three radial bases, inner cutoffs and a core repulsion."""

PUBLISHED = Path(__file__).parents[1] / "potentials" / "reference" / "mtp"
"""The moment tensor potentials of Zuo et al. (2020)."""

BASIC = [(0, *abc) for abc in np.ndindex(3, 3, 3) if sum(abc) <= 2] + [(1, *abc) for abc in np.ndindex(2, 2, 2) if sum(abc) <= 1]
SCALARS = ["M0", "N0", "square", "M1.M1", "M2:M2", "M1.M2.M1", "M1.N1", "N0 square", "fourth", "M0 M1.M2.M1"]


def random_mtp(seed: int = 5, species: int = 2) -> str:
    """A small moment tensor potential of two radial functions, moments up to ν = 2, and products of up to four moments."""
    rng = np.random.default_rng(seed)
    place = {key: k for k, key in enumerate(BASIC)}
    one = [place[0, 1, 0, 0], place[0, 0, 1, 0], place[0, 0, 0, 1]]
    other = [place[1, 1, 0, 0], place[1, 0, 1, 0], place[1, 0, 0, 1]]
    two = [[place[(0, *(np.eye(3, dtype=int)[i] + np.eye(3, dtype=int)[j]))] for j in range(3)] for i in range(3)]
    names = ["square", "M1.M1", "M2:M2", "x", "y", "z", "M1.M2.M1", "M1.N1", "N0 square", "fourth", "M0 M1.M2.M1"]
    node = {"M0": place[0, 0, 0, 0], "N0": place[1, 0, 0, 0]} | {name: len(BASIC) + k for k, name in enumerate(names)}
    times = [(node["M0"], node["M0"], 1, node["square"])]
    times += [(a, a, 1, node["M1.M1"]) for a in one]
    times += [(two[i][j], two[i][j], 1 if i == j else 2, node["M2:M2"]) for i in range(3) for j in range(i, 3)]
    times += [(two[i][j], one[j], 1, node["xyz"[i]]) for i in range(3) for j in range(3)]
    times += [(node["xyz"[i]], one[i], 1, node["M1.M2.M1"]) for i in range(3)]
    times += [(one[i], other[i], 1, node["M1.N1"]) for i in range(3)]
    times += [(node["N0"], node["square"], 1, node["N0 square"]), (node["M1.M1"], node["M1.M1"], 1, node["fourth"])]
    times += [(node["M0"], node["M1.M2.M1"], 1, node["M0 M1.M2.M1"])]

    def braces(values) -> str:
        return "{" + ", ".join(braces(value) if isinstance(value, (list, tuple)) else f"{value:.15g}" for value in values) + "}"

    lines = ["MTP", "version = 1.1.0", "potential_name = random", "scaling = 2.5e-01", f"species_count = {species}", "potential_tag = "]
    lines += ["radial_basis_type = RBChebyshev", "\tmin_dist = 2.1", "\tmax_dist = 4.9", "\tradial_basis_size = 6", "\tradial_funcs_count = 2"]
    lines += ["\tradial_coeffs"]
    for i in range(species):
        for j in range(species):
            lines += [f"\t\t{i}-{j}"] + ["\t\t\t" + braces(rng.normal(0, 0.15, 6).tolist()) for _ in range(2)]
    lines += [f"alpha_moments_count = {len(BASIC) + len(names)}", f"alpha_index_basic_count = {len(BASIC)}"]
    lines += [f"alpha_index_basic = {braces(BASIC)}", f"alpha_index_times_count = {len(times)}", f"alpha_index_times = {braces(times)}"]
    lines += [f"alpha_scalar_moments = {len(SCALARS)}", f"alpha_moment_mapping = {braces([node[name] for name in SCALARS])}"]
    lines += [f"species_coeffs = {braces(rng.normal(0, 2, species).tolist())}"]
    lines += [f"moment_coeffs = {braces(rng.normal(0, 0.03, len(SCALARS)).tolist())}"]
    return "\n".join(lines) + "\n"


def zbl_yace() -> str:
    """AlNi.yace with the core of Ziegler, Biersack and Littmark, which takes over from 2.7 Å on inwards; a crystal of the self-test has closer atoms."""
    text = re.sub(r"prehc: [\d.]+", "prehc: 1", YACE.read_text())
    return re.sub(r"rcut_in: [\d.]+, dcut_in: [\d.]+, inner_cutoff_type: distance", "rcut_in: 2.7, dcut_in: 0.6, inner_cutoff_type: zbl", text)


def numbers(name: str) -> list[dict]:
    """Cases of another code, as those of a self-test; peers.py says which."""
    return json.loads((HERE / "peers.json").read_text())[name]


def differences(calculator, cases: list[dict]) -> tuple[float, float, float]:
    """Largest differences of energy (eV/atom), forces (eV/Å) and stress (eV/Å³) of an ASE calculator."""
    largest = [0.0, 0.0, 0.0]
    for case in cases:
        atoms = ase.Atoms(case["symbols"], case["positions"], cell=case["cell"], pbc=case["pbc"])
        atoms.calc = calculator
        found = (
            (atoms.get_potential_energy() - case["energy"]) / len(atoms),
            atoms.get_forces() - case["forces"],
            atoms.get_stress(voigt=False) - case["stress"],
        )
        largest = [max(most, float(np.abs(difference).max())) for most, difference in zip(largest, found, strict=True)]
    return tuple(largest)
