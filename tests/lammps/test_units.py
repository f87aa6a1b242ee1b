"""Every unit style of pair_style mlff against metal: a LAMMPS run whose input was converted, and its output back."""

import re

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps
from metalff import artifact

BOLTZMANN = {"metal": 8.617343e-5, "electron": 3.16681534e-6}  # LAMMPS' own, eV/K and Hartree/K
# 1 eV, 1 Å, 1 bar in LAMMPS' units
UNITS = {
    "metal": (1.0, 1.0, 1.0),
    "real": (23.060549, 1.0, 1 / 1.01325),
    "si": (1.6021765e-19, 1e-10, 1e5),
    "electron": (BOLTZMANN["electron"] / BOLTZMANN["metal"], 1.88972612, 1e5),
}
SAME = 1e-10  # relative, where only a factor lies between
PRESSURE = 3e-7  # relative: the digits of LAMMPS' constants


def box(name, units):
    """The lines of metal with every length converted; masses do not matter to energies and forces."""
    length = UNITS[units][1]

    def convert(line):
        if not line.startswith(("region", "create_atoms")):
            return line
        words = line.split()
        keep = {"region": 3, "create_atoms": 3}[words[0]]
        return " ".join([*words[:keep], *(f"{float(w) * length:.17g}" for w in words[keep:])])

    skin = f"neighbor {2.0 * length:.17g} bin"
    return [f"units {units}", "atom_style atomic", *map(convert, Script(STRUCTURES[name])._box()), skin]


def outcome(directory, name, units, pair, ranks):
    lines = [*box(name, units), *pair, "compute s all stress/atom NULL", "compute c all centroid/stress/atom NULL"]
    lines += ["compute e all pe/atom", "thermo_style custom step pe press", "thermo_modify norm no"]
    lines += [f"dump d all custom 1 {units}.dump id fx fy fz c_e c_s[1] c_s[4] c_c[7]"]
    lines += [
        "dump_modify d sort id format float %.17g",
        "run 0",
        'print "RESULT $(pe:%.17g) $(pxx:%.17g) $(pxy:%.17g)"',
    ]
    completed = lammps(directory, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    (row,) = (line.split()[1:] for line in completed.stdout.splitlines() if line.startswith("RESULT"))
    table = np.loadtxt(directory / f"{units}.dump", skiprows=9, ndmin=2)
    energy, length, pressure = UNITS[units]
    numbers = np.array(row, float) / [energy, pressure, pressure]
    return numbers, table[:, 1:4] / (energy / length), table[:, 4] / energy, table[:, 5:] / (pressure * length**3)


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("units", ["real", "si", "electron"])
def test_against_metal(units, ranks, oracle, tmp_path):
    pair = ["pair_style mlff", f"pair_coeff * * {oracle} Cu"]
    totals, forces, energies, stresses = outcome(tmp_path, "triclinic", "metal", pair, ranks)
    assert np.abs(forces).max() > 0.1 and np.abs(totals[1:]).min() > 1e3
    ours = outcome(tmp_path, "triclinic", units, pair, ranks)
    np.testing.assert_allclose(ours[0][0], totals[0], rtol=SAME)
    np.testing.assert_allclose(ours[0][1:], totals[1:], rtol=PRESSURE)
    np.testing.assert_allclose(ours[1], forces, rtol=0, atol=SAME * np.abs(forces).max())
    np.testing.assert_allclose(ours[2], energies, rtol=SAME)
    np.testing.assert_allclose(ours[3], stresses, rtol=0, atol=PRESSURE * np.abs(stresses).max())


NAMES = {"metal": "eV/A", "real": "kcal/mol/A", "si": "N", "electron": "Hartree/Bohr"}


@pytest.mark.parametrize("units", UNITS)
def test_deviation(units, oracle, second, tmp_path):
    """Written, and compared with stop_above, in LAMMPS' units."""
    energy, length, _ = UNITS[units]
    force = energy / length
    columns = {}
    for style in ("metal", units):
        pair = [f"pair_style mlff deviation 1 {style}.txt", f"pair_coeff * * {oracle} {second} Cu"]
        assert lammps(tmp_path, [*box("bulk", style), *pair, "run 0"]).returncode == 0
        columns[style] = np.loadtxt(tmp_path / f"{style}.txt")
    factors = [1, force, force, force, energy]
    np.testing.assert_allclose(columns[units] / factors, columns["metal"], rtol=1e-8)
    assert f"max_devi_f[{NAMES[units]}]" in (tmp_path / f"{units}.txt").read_text()

    for share, stops in ((0.999, True), (1.001, False)):
        limit = share * columns["metal"][1] * force
        pair = [f"pair_style mlff stop_above {limit:.12g}", f"pair_coeff * * {oracle} {second} Cu"]
        completed = lammps(tmp_path, [*box("bulk", units), *pair, "run 0"])
        assert completed.returncode == 0, completed.stdout[-2000:]
        assert bool(re.search(rf"deviate by \S+ {NAMES[units]} on an atom", completed.stdout)) == stops


@pytest.mark.parametrize("units", UNITS)
def test_distances_in_messages_are_in_angstrom(units, oracle, tmp_path):
    opened = artifact.open_artifact(oracle)
    members = {name: (payload, opened.read(name)) for name, payload in opened.manifest.payloads.items()}
    changes = {"training": artifact.Training(shortest_distance=5.0)}
    model = tmp_path / "far.mlff"
    artifact.write(model, opened.manifest.model_copy(update=changes), members)
    completed = lammps(tmp_path, [*box("bulk", units), "pair_style mlff", f"pair_coeff * * {model} Cu", "run 0"])
    assert completed.returncode != 0
    said = re.search(r"two atoms are (\S+) A apart at step 0, but the shortest distance .* is 5.000 A", completed.stdout)
    assert 2.0 < float(said[1]) < 2.5
