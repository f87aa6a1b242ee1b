"""Per-atom stresses: the centroid virial makes the heat flux of a many-body model right."""

import numpy as np
import pytest

from cases import STRUCTURES, Script, lammps

DT = 1e-5  # ps, for central differences of Σ r_i E_i


def commands(box, oracle):
    return ["units metal", "atom_style atomic", *box, "pair_style mlff", f"pair_coeff * * {oracle} Cu"]


def results(completed, word="RESULT"):
    assert completed.returncode == 0, completed.stdout[-2000:]
    return np.array([line.split()[1:] for line in completed.stdout.splitlines() if line.startswith(word)], float)


@pytest.mark.parametrize("ranks", [1, 2])
def test_heat_flux_is_the_flow_of_energy(ranks, oracle, tmp_path):
    """J = d/dt Σ_i r_i E_i of a cluster, along its own trajectory."""
    atoms = STRUCTURES["cluster in a corner"].copy()
    atoms.positions += 27.0  # no image of an atom is near, and two ranks share the cluster
    lines = [*commands(Script(atoms)._box(), oracle), f"timestep {DT}", "velocity all create 3000 5 loop geom"]
    lines += [
        "velocity all set 3.0 NULL NULL sum yes",
        "fix move all nve",
        "compute k all ke/atom",
        "compute p all pe/atom",
    ]
    lines += ["compute c all centroid/stress/atom NULL virial", "compute s all stress/atom NULL virial"]
    lines += ["compute jc all heat/flux k p c", "compute js all heat/flux k p s"]
    lines += ["dump d all custom 1 dump.* x y z c_k c_p", "dump_modify d format float %.17g"]
    lines += ["thermo_style custom step c_jc[1] c_js[1]", "thermo 1", "run 1"]
    words = " ".join(f"$(c_{j}[{k}]:%.15g)" for j in ("jc", "js") for k in (1, 2, 3))
    lines += [f'print "RESULT {words}"', "run 1"]
    completed = lammps(tmp_path, lines, ranks)
    ((*numbers,),) = results(completed)
    centroid, symmetric = np.reshape(numbers, (2, 3))

    def moment(step):
        x, y, z, kinetic, potential = np.loadtxt(tmp_path / f"dump.{step}", skiprows=9).T
        return np.stack([x, y, z]) @ (kinetic + potential)

    flow = (moment(2) - moment(0)) / (2 * DT)
    scale = np.abs(flow).max()
    np.testing.assert_allclose(centroid, flow, rtol=0, atol=1e-5 * scale)
    assert np.abs(symmetric - flow).max() > 1e-3 * scale, "the test must tell the two stresses apart"


@pytest.mark.parametrize("ranks", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["triclinic", "surface", "tiny box", "cluster in a corner"])
def test_both_per_atom_stresses_sum_to_the_virial(name, ranks, oracle, tmp_path):
    lines = [*commands(Script(STRUCTURES[name])._box(), oracle), "compute c all centroid/stress/atom NULL"]
    lines += ["compute s all stress/atom NULL", "compute tc all reduce sum c_c[*]", "compute ts all reduce sum c_s[*]"]
    lines += ["thermo_style custom step c_tc[1] c_ts[1] press vol", "run 0"]
    nine = " ".join(f"$(c_tc[{k}]:%.15g)" for k in range(1, 10))
    six = " ".join(f"$(c_ts[{k}]:%.15g)" for k in range(1, 7))
    virial = " ".join(f"$(-{p}*vol:%.15g)" for p in ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz"))
    lines += [f'print "NINE {nine}"', f'print "SIX {six}"', f'print "VIRIAL {virial}"']
    completed = lammps(tmp_path, lines, ranks)
    (nine,), (six,), (virial,) = (results(completed, word) for word in ("NINE", "SIX", "VIRIAL"))
    scale = np.abs(virial).max()
    assert scale > 1e3  # bar Å³
    np.testing.assert_allclose(six, virial, rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(nine, [*virial, *virial[3:]], rtol=0, atol=1e-9 * scale)
