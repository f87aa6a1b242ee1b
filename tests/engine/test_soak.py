"""Some hundred steps of LAMMPS with each native family, on one rank and two: what 'make test-sanitize' runs under ASan and UBSan."""

import pytest

from cases import lammps
from metalff.paths import shared

pytestmark = pytest.mark.slow

CASES = {
    "NEP": ("Cu-nep", "Cu", "", "p", 100),
    "NEP, seven elements": ("LiNiCuNbMoTaW-nep", "Cu Ni", "", "p", 100),
    "MACE": ("Li-mace", "Li", "", "p", 20),
    "MACE, single precision, a surface": ("Li-mace", "Li", "precision single", "s", 20),
    "MACE, seven elements, two threads": ("LiNiCuNbMoTaW-mace", "Cu Ni", "threads 2", "p", 10),
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_runs(case, ranks, tmp_path):
    name, elements, words, boundary, steps = CASES[case]
    lattice, cells = 4.4 if elements == "Li" else 3.65, 3 if "nep" in name else 2
    lines = [
        "units metal",
        f"boundary p p {boundary}",
        f"lattice fcc {lattice}",
        f"region box block 0 {cells} 0 {cells} 0 {cells}",
        f"create_box {len(elements.split())} box",
        "create_atoms 1 box",
        *(["set type 1 type/fraction 2 0.5 1"] if " " in elements else []),
        "mass * 30",
        "velocity all create 600 17",
        f"pair_style mlff {words}",
        f"pair_coeff * * {shared('potentials', 'mlff', f'{name}.mlff')} {elements}",
        "neigh_modify every 2 delay 0 check yes",
        "fix 1 all nve" if boundary != "p" else "fix 1 all npt temp 600 600 0.1 iso 0 0 1",
        f"run {steps}",
        f"run {steps // 2}",
        'print "RESULT $(pe/atoms)"',
    ]
    completed = lammps(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-4000:]
    (energy,) = (float(line.split()[1]) for line in completed.stdout.splitlines() if line.startswith("RESULT"))
    assert -15 < energy < 0
