"""The oracle: EAM through pair_style mlff must be pair_style eam/alloy, in every situation; test_parity.py: every structure."""

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps

TOLERANCE = 1e-9  # eV, eV/Å, eV/Å³: round-off of the sums, no model error in the way


def same(a, b, tolerance=TOLERANCE):
    assert a.energy == pytest.approx(b.energy, abs=tolerance * len(a.forces))
    np.testing.assert_allclose(a.forces, b.forces, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.stress, b.stress, rtol=0, atol=tolerance)
    np.testing.assert_allclose(a.energies, b.energies, rtol=0, atol=tolerance)


def mlff(path):
    return ["pair_style mlff", f"pair_coeff * * {path} Cu"]


def test_free_boundaries(oracle, eam_commands, tmp_path):
    script = Script(STRUCTURES["surface"], boundary="p p f")
    same(*reversed(script.run(tmp_path, [eam_commands, mlff(oracle)])))


@pytest.mark.parametrize("map_style", ["array", "hash"])
def test_atom_maps_do_not_matter(map_style, oracle, eam_commands, tmp_path):
    script = Script(STRUCTURES["bulk"], head=[f"atom_modify map {map_style} sort 0 0.0"])
    same(*reversed(script.run(tmp_path, [eam_commands, mlff(oracle)])))


MOVES = {
    "NVE": ["velocity all create 600 11 loop geom", "fix move all nve", "run 40"],
    "NVT": ["velocity all create 600 11 loop geom", "fix move all nvt temp 600 600 0.1", "run 40"],
    "NPT": [
        "velocity all create 600 11 loop geom",
        "fix move all npt temp 600 600 0.1 aniso 0 0 0.5",
        "run 40",
    ],
    "minimize": ["minimize 0 1e-3 50 200"],
    "box relaxed": ["fix move all box/relax aniso 0", "minimize 0 1e-3 30 100"],
    "reneighboured each step": [
        "neighbor 0.3 bin",
        "neigh_modify every 1 delay 0 check no",
        "velocity all create 2500 11 loop geom",
        "fix move all nve",
        "run 40",
    ],
}


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("move", MOVES)
def test_motion(move, ranks, oracle, eam_commands, tmp_path):
    """Trajectories from the same start: positions, energies and pressures stay together."""
    outcomes = []
    for k, pair in enumerate((eam_commands, mlff(oracle))):
        directory = tmp_path / str(k)
        directory.mkdir()
        outcomes += Script(STRUCTURES["triclinic" if ranks == 1 else "bulk"]).run(directory, [pair], MOVES[move], ranks)
    reference, ours = outcomes
    start = STRUCTURES["triclinic" if ranks == 1 else "bulk"].positions
    assert np.abs(reference.positions - start).max() > 0.01, "nothing moved"
    np.testing.assert_allclose(ours.positions, reference.positions, rtol=0, atol=1e-8)
    same(ours, reference, tolerance=1e-7)


def test_rerun(oracle, eam_commands, tmp_path):
    """Frames written with one pair style are evaluated with the other."""
    script = Script(STRUCTURES["bulk"])
    box = ["units metal", "atom_style atomic", *script._box()]
    tail = ["thermo_style custom step pe pxx pyy pzz", "thermo_modify format float %.12f", "thermo 10"]
    write = [*box, *eam_commands, *tail, "velocity all create 900 5 loop geom", "fix move all nve"]
    write += ["dump d all custom 10 frames.dump id x y z", "dump_modify d format float %.17g", "run 40"]
    first = lammps(tmp_path, write)
    again = lammps(tmp_path, [*box, *mlff(oracle), *tail, "rerun frames.dump dump x y z"])

    def energies(completed):
        assert completed.returncode == 0, completed.stdout[-2000:]
        rows = [line.split() for line in completed.stdout.splitlines()]
        return [float(r[1]) for r in rows if len(r) == 5 and r[0] in ("0", "10", "20", "30", "40")]

    assert len(energies(first)) == 5
    np.testing.assert_allclose(energies(again), energies(first), rtol=0, atol=1e-7)


@pytest.mark.parametrize("ranks", [1, 2])
def test_per_atom_stress_sums_to_the_virial_and_matches_eam(ranks, oracle, eam_commands, tmp_path):
    lines = ["units metal", "atom_style atomic", *Script(STRUCTURES["triclinic"])._box()]
    for pair in (eam_commands, mlff(oracle)):
        lines += [*pair, "compute s all stress/atom NULL", "compute t all reduce sum c_s[1] c_s[4]"]
        lines += ["compute m all reduce max c_s[1] c_s[6]", "thermo_style custom step c_t[1] c_t[2] c_m[1] c_m[2]"]
        lines += ["thermo_modify norm no", "run 0"]
        lines += ['print "RESULT $(c_t[1]:%.15g) $(c_t[2]:%.15g) $(c_m[1]:%.15g) $(c_m[2]:%.15g)"']
        lines += ["thermo_style one", "uncompute m", "uncompute t", "uncompute s"]
    completed = lammps(tmp_path, lines, ranks)
    assert completed.returncode == 0, completed.stdout[-2000:]
    rows = [line.split()[1:] for line in completed.stdout.splitlines() if line.startswith("RESULT")]
    reference, ours = np.array(rows, float)
    np.testing.assert_allclose(ours, reference, rtol=1e-9)
