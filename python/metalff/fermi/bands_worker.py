"""Eigenvalues of a metal's primitive cell: ``python -P bands_worker.py TASK.json``; runs in the environment of GPAW.

TASK.json: ``numbers``, ``positions`` (Å), ``cell``, ``arguments`` of the self-consistent calculation, ``ladder``, ``above`` (eV above the Fermi level up to which
bands are converged), ``eigenstates`` (how well, eV² per electron), ``meshes``: a list of ``size`` (points along each axis), ``task`` (its name) and ``file``, and ``failed``, the file to write a reason to.
Each file of a mesh is written whole or not at all: energies in eV at irreducible points, and which of them each point of the full mesh is.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "dft"))

from ase import Atoms
from label_worker import NOT_CONVERGED, Gpaw, merged, reason, versions, write

MORE_BANDS = 4
"""Empty bands that are added where there are too few."""


def ground_state(task):
    """A calculator that has converged, by the first rung of the ladder that does; and what was tried before."""
    engine, tries = Gpaw("gpaw"), []
    for rung in ({}, *task["ladder"]):
        atoms = Atoms(task["numbers"], task["positions"], cell=task["cell"], pbc=True)
        over = {key: value for key, value in rung.items() if key != "start_smearing"}
        try:
            engine.label(atoms, merged(task["arguments"], over), *([rung["start_smearing"]] if "start_smearing" in rung else []))
            return atoms.calc, tries
        except Exception as error:
            if type(error).__name__ not in NOT_CONVERGED:
                raise
            tries.append({"changed": rung, "reason": reason(error)})
    raise NotConverged(f"the density did not converge on any of the {len(tries)} ways that the protocol has")


class NotConverged(Exception):
    """Of the self-consistent calculation."""


def on_mesh(calculator, size, task):
    """A calculator with the same density on another mesh."""
    empty = task["arguments"]["nbands"]
    while True:
        try:
            return calculator.fixed_density(
                kpts={"size": size, "gamma": True},
                nbands=empty,
                convergence={"bands": f"CBM+{task['above']}", "eigenstates": task["eigenstates"]},
                update_fermi_level=True,
                txt="gpaw-mesh.txt",
            )
        except Exception as error:
            if type(error).__name__ != "TooFewBandsError" or empty < -40:
                raise
            empty -= MORE_BANDS


def inner_products(setup):
    """[partial waves, partial waves] of the same angular momentum: ∫ φ φ' r² dr up to the radius of the augmentation sphere."""
    grid = setup.data.rgd
    inside = grid.r_g <= max(setup.rcut_j)
    weights = (grid.r_g**2 * grid.dr_g * inside)[: len(setup.data.phi_jg[0])]
    waves = np.array([phi[: len(weights)] for phi in setup.data.phi_jg])
    return (waves * weights) @ waves.T


def d_shares(calculator):
    """[k-points, bands] d-weight: the part of a state's charge with l = 2 in that of all l, inside the augmentation spheres."""
    shares = []
    for state in calculator.dft.ibzwfs:
        charge = {}
        for atom, projections in state.P_ani.items():
            setup = calculator.setups[atom]
            overlap = inner_products(setup)
            starts = np.concatenate([[0], np.cumsum([2 * l + 1 for l in setup.l_j])])
            for l in set(setup.l_j):
                waves = [j for j, other in enumerate(setup.l_j) if other == l]
                for m in range(2 * l + 1):
                    P = projections[:, [starts[j] + m for j in waves]]
                    charge[l] = charge.get(l, 0) + np.einsum("nj,jk,nk->n", P.conj(), overlap[np.ix_(waves, waves)], P).real
        shares.append(charge.get(2, 0) / np.maximum(sum(charge.values()), 1e-12))
    return np.array(shares)


def save(path, content):
    """Whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix="." + os.path.basename(path), suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.savez_compressed(stream, **content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main():
    with open(sys.argv[1]) as stream:
        task = json.load(stream)
    start = time.process_time()
    try:
        calculator, tries = ground_state(task)
        for mesh in task["meshes"]:
            fine = on_mesh(calculator, mesh["size"], task)
            points = fine.dft.ibzwfs.ibz
            indices = np.rint(points.bz.kpt_Kc * mesh["size"]).astype(int) % mesh["size"]
            places = np.empty(mesh["size"], np.int32)
            places[tuple(indices.T)] = points.bz2ibz_K
            content = {
                "task": mesh["task"],
                "eigenvalues": np.array([fine.get_eigenvalues(kpt=k) for k in range(len(points))]).T,
                "d_shares": d_shares(fine).T,
                "places": places,
                "cell": np.array(task["cell"]),
                "electrons": float(fine.get_number_of_electrons()),
                "details": json.dumps({"tries": tries, "cpu_s": round(time.process_time() - start, 1), "versions": versions()}),
            }
            save(mesh["file"], content)
    except OSError:
        raise
    except Exception as error:
        write(task["failed"], {"reason": str(error) if isinstance(error, NotConverged) else reason(error)})


if __name__ == "__main__":
    main()
