"""NEP models with random parameters, as GPUMD would write them."""

from pathlib import Path

import numpy as np
from ase.build import bulk

import selftests
from metalff.artifact import Manifest
from metalff.deploy import nep

VARIANTS = {
    "NEP4": {},
    "NEP3, two elements": {"version": 3, "elements": ("Cu", "Al")},
    "NEP5, three elements": {"version": 5, "elements": ("Al", "Cu", "Ni")},
    "all invariants": {"l_max": "4 2 1 1 1 1 1", "elements": ("Cu", "Ni")},
    "no angular part": {"l_max": "0 0 0"},
    "l_max 8, many radial functions": {"l_max": "8 0 0", "n_max": (6, 10), "basis": (12, 10)},
    "few of everything": {"l_max": "1 0 0", "n_max": (0, 0), "basis": (0, 1), "neurons": 1},
    "ZBL": {"zbl": "1.0 2.6"},
    "ZBL by radii": {"zbl": "1.0 2.5 0.7", "elements": ("Cu", "Li")},
    "flexible ZBL": {"zbl": "0 0", "elements": ("Cu", "Li")},
    "cutoffs by element": {"elements": ("Cu", "Al"), "cutoffs": (6.0, 4.0, 5.0, 3.5)},
}


def write_nep(
    path,
    version=4,
    elements=("Cu",),
    zbl=None,
    cutoffs=(6.0, 4.5),
    n_max=(4, 4),
    basis=(8, 8),
    l_max="4 2 0",
    neurons=30,
    seed=3,
) -> Path:
    """``l_max`` is the line of that name: l of two densities, and which invariants of more there are."""
    rng = np.random.default_rng(seed)
    kinds = int(l_max.split()[0]) + sum(flag != "0" for flag in l_max.split()[1:])
    types, dim = len(elements), n_max[0] + 1 + (n_max[1] + 1) * kinds
    nets, own = 1 if version == 3 else types, version == 5
    network = ((dim + 2) * neurons + own) * nets + 1
    radial = types**2 * sum((n + 1) * (k + 1) for n, k in zip(n_max, basis))
    values = [*rng.normal(0, 0.5, network + radial), *rng.uniform(0.02, 0.2, dim)]
    lines = [f"nep{version}{'_zbl' if zbl else ''} {types} {' '.join(elements)}"]
    if zbl:
        lines.append(f"zbl {zbl}")
    if zbl == "0 0":
        values += [0.8, 2.6, 0.18, 3.2, 0.5, 0.94, 0.28, 0.4, 0.03, 0.2] * (types * (types + 1) // 2)
    lines += [f"cutoff {' '.join(map(str, cutoffs))} 200 100", f"n_max {n_max[0]} {n_max[1]}"]
    lines += [f"basis_size {basis[0]} {basis[1]}", f"l_max {l_max}", f"ANN {neurons} 0"]
    path = Path(path)
    path.write_text("\n".join([*lines, *(f"{value:.9e}" for value in values)]) + "\n")
    return path


def crystals(elements):
    """A dense hot crystal, a small cell and a slab, the elements at random."""
    rng = np.random.default_rng(7)
    hot, small = bulk("Cu", a=3.4, cubic=True).repeat((3, 3, 2)), bulk("Cu", a=3.6)
    hot.rattle(0.2, seed=1), small.rattle(0.1, seed=2)
    slab = hot.copy()
    slab.cell[2] *= 3
    for atoms in (hot, small, slab):
        atoms.symbols = rng.choice(elements, len(atoms))
    return {"hot": hot, "small": small, "slab": slab}


def put(path, text, elements, r_max=6.0, atoms=None):
    manifest = Manifest(name="variant", family="nep", elements=list(elements), r_max=r_max, layers=1)
    return selftests.write(path, manifest, nep.MEMBER, text, atoms)
