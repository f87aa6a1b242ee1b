"""The bundled MACE: long motion without drift."""

import numpy as np

from cases import lammps


def test_nve_conserves_the_energy(bundled_model, tmp_path):
    """10 ps at 600 K with 1 fs: no drift beyond 1e-5 eV/atom, as a straight line through the total energy."""
    n = 32
    lines = ["units metal", "atom_style atomic", "lattice fcc 3.65", "region b block 0 2 0 2 0 2", "create_box 1 b"]
    lines += ["create_atoms 1 box", "mass 1 63.546", "pair_style mlff", f"pair_coeff * * {bundled_model} Cu"]
    lines += ["velocity all create 1200 7 loop geom", "fix move all nve", "thermo_style custom step etotal temp"]
    lines += ["thermo_modify format float %.12g", "thermo 20", "run 10000"]
    completed = lammps(tmp_path, lines)
    assert completed.returncode == 0, completed.stdout[-2000:]
    rows = [line.split() for line in completed.stdout.splitlines()]
    table = np.array([r for r in rows if len(r) == 3 and r[0].isdigit() and int(r[0]) % 20 == 0], float)
    assert len(table) == 501
    steps, energy, temperature = table.T
    assert 450 < temperature[100:].mean() < 750
    slope = np.polyfit(steps, energy / n, 1)[0]
    assert abs(slope * 10000) <= 1e-5
