"""Is the free energy along a path that of plane waves? ``python benchmarks/path_bands.py Nb tetragonal 8``: needs the environment of GPAW.

``metalff fermi --paths`` makes the density self-consistent at a few nodes and takes bands from matrices of local orbitals between them. Here every point is also
converged in plane waves, on the same coarse mesh, whose noise is large: what a polynomial leaves of both curves must be the same. Prints the RMS of both, and of
their difference, in meV/atom.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

POINTS, ORDER, WIDTH = 11, 4, 0.1


def plane_waves(order: str) -> None:
    """In the environment of GPAW: free energies of plane waves, and those of the worker, as JSON."""
    task = json.loads(Path(order).read_text())
    sys.path.insert(0, task["room"])
    import paths_worker

    width = {"occupations": {"name": "fermi-dirac", "width": WIDTH}, "convergence": {"density": 1e-5, "eigenstates": 1e-7}}
    found = paths_worker.run(task)
    exact = [paths_worker.converge(paths_worker.atoms_of(one), task | {"k_points": task["meshes"][0]}, width)[1] for one in task["all"]]
    Path(task["done"]).write_text(json.dumps({"worker": found, "plane_waves": exact}))


def main(symbol: str, name: str, points: int) -> None:
    import numpy as np

    from metalff import environments
    from metalff.fermi import path_energies, paths
    from metalff.fermi.roughness import residual

    along = paths.path(symbol, name, POINTS)
    task = path_energies.order(along)
    with tempfile.TemporaryDirectory() as work:
        done = Path(work) / "done.json"
        task |= {
            "meshes": paths.meshes(along.place(0.0), (points,)),
            "widths": [WIDTH],
            "all": [path_energies.plain(atoms) for atoms in along.atoms()],
            "eigenvalues": str(Path(work) / "eigenvalues.npz"),
            "done": str(done),
            "room": str(path_energies.WORKER.parent),
        }
        order = Path(work) / "task.json"
        order.write_text(json.dumps(task))
        command = [str(environments.environment_python("gpaw")), "-P", str(Path(__file__).absolute()), "--worker", str(order)]
        subprocess.run(command, cwd=work, check=True)
        found = json.loads(done.read_text())
    worker, count = found["worker"], len(along.place(0.0))
    (of_width,) = worker["meshes"][0]["widths"]
    local = np.sum([of_width["band_energy"], of_width["entropy"], worker["double_counting"]], axis=0) / count
    curves = {"plane waves": np.array(found["plane_waves"]) / count, "local orbitals": local}
    curves["difference"] = curves["plane waves"] - local
    for title, curve in curves.items():
        left = 1e3 * residual(*path_energies.whole(along, curve), ORDER)
        print(f"{symbol} {name} {points}³, {title}: RMS {np.sqrt(np.mean(left**2)):.3f} meV/atom left by a polynomial of order {ORDER}")
    print(f"the curves themselves differ by {1e3 * np.ptp(curves['difference']):.1f} meV/atom of {1e3 * np.ptp(local):.0f}")


if __name__ == "__main__":
    if sys.argv[1] == "--worker":
        plane_waves(sys.argv[2])
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
