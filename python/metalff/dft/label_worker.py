"""Label one structure with an ASE calculator: ``python -P label_worker.py TASK.json``; runs in the environment of GPAW, or in MetalFF's own Python.

TASK.json: ``id``, ``calculator`` (name), ``arguments``, ``ladder``, ``numbers``, ``positions`` (Å), ``cell``, ``pbc``, and ``done`` and ``failed``, the files to write.
One of the two is written, whole or not at all: energy in eV (the free energy, of which the forces are the derivative, where the calculator has one), forces in eV/Å,
stress in eV/Å³. What a calculator writes besides stays in the working directory.
"""

import importlib
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError, get_calculator_class

NOT_CONVERGED = {"KohnShamConvergenceError", "ConvergenceError", "SCFError", "CalculationFailed"}
"""Names of exceptions after which the next rung of the ladder is tried."""

FULL = 1e-3
"""Electrons (of two) in the highest band beyond which there are too few bands."""

MORE_BANDS = 1.4
"""Empty bands are then made so many times as many."""


class TooFewBands(Exception):
    """The highest band is occupied."""


def merged(base, over):
    both = dict(base)
    for key, value in over.items():
        both[key] = merged(both[key], value) if isinstance(value, dict) and isinstance(both.get(key), dict) else value
    return both


def calculator_class(name):
    if ":" in name:
        module, _, attribute = name.partition(":")
        return getattr(importlib.import_module(module), attribute)
    return get_calculator_class(name)


class Plain:
    """Any calculator of ASE."""

    def __init__(self, name):
        self.make = calculator_class(name)

    def label(self, atoms, arguments, start_smearing=None):
        atoms.calc = self.make(**arguments)
        return values(atoms)


class Gpaw:
    """GPAW. Every label starts from scratch, so that none depends on another."""

    def __init__(self, name):
        from gpaw.new.ase_interface import GPAW

        self.make = GPAW

    def label(self, atoms, arguments, start_smearing=None):
        while True:
            try:
                return self._converge(atoms, arguments, start_smearing)
            except TooFewBands:
                if not -1000 < arguments.get("nbands", 0) < 0:
                    raise
                arguments = arguments | {"nbands": math.floor(MORE_BANDS * arguments["nbands"])}

    def _converge(self, atoms, arguments, start_smearing):
        calculator = self.make(**arguments, txt="gpaw.txt")
        if start_smearing:
            width = arguments["occupations"]["width"] * start_smearing
            hot = self.make(**merged(arguments, {"occupations": {"width": width}}), txt="gpaw-hot.txt")
            hot.get_potential_energy(atoms)
            calculator._dft = hot.dft.new(atoms, calculator.params, calculator.log)
            calculator._dft.results.clear()
            calculator._atoms = atoms.copy()
        atoms.calc = calculator
        found = values(atoms)
        weights = calculator.get_k_point_weights()
        top = max(calculator.get_occupation_numbers(kpt=k)[-1] / weight for k, weight in enumerate(weights))
        if top > FULL:
            raise TooFewBands(f"the highest band holds {top:.1e} electrons; give calculator.arguments.nbands")
        found["details"] = {
            "iterations": int(calculator.get_number_of_iterations()),
            "bands": int(calculator.get_number_of_bands()),
            "k_points": len(weights),
            "highest_band_electrons": float(top),
        }
        return found


def values(atoms):
    """Energy, forces and stress; raises ``ValueError`` where one is not finite, or not for these atoms."""
    try:
        energy, consistent = atoms.get_potential_energy(force_consistent=True), True
    except PropertyNotImplementedError:
        energy, consistent = atoms.get_potential_energy(), False
    forces = atoms.get_forces()
    try:
        stress = atoms.get_stress(voigt=False).tolist() if atoms.cell.rank == 3 else None
    except PropertyNotImplementedError:
        stress = None
    if not (np.isfinite(energy) and np.isfinite(forces).all() and (stress is None or np.isfinite(stress).all())):
        raise ValueError("energy, forces or stress are not finite numbers")
    if np.shape(forces) != (len(atoms), 3) or (stress is not None and np.shape(stress) != (3, 3)):
        raise ValueError(f"forces of shape {np.shape(forces)} for {len(atoms)} atoms")
    return {"energy": float(energy), "force_consistent": consistent, "forces": np.array(forces, float).tolist(), "stress": stress}


def versions(names=("ase", "gpaw", "gpaw-data", "numpy", "scipy")):
    from importlib import metadata

    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
    return found


def write(path, content):
    """Whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix="." + os.path.basename(path))
    try:
        with os.fdopen(descriptor, "w") as stream:
            json.dump(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def reason(error):
    name = type(error).__name__
    lines = str(error).strip().splitlines() or (["it did not converge"] if name in NOT_CONVERGED else [])
    return f"{name}: {lines[0]}" if lines else name


def label(engine, task):
    """The label, by the first rung that converges."""
    tries = []
    for rung in ({}, *task["ladder"]):
        start = time.process_time()
        atoms = Atoms(task["numbers"], task["positions"], cell=task["cell"], pbc=task["pbc"])
        over = {key: value for key, value in rung.items() if key != "start_smearing"}
        try:
            found = engine.label(atoms, merged(task["arguments"], over), *([rung["start_smearing"]] if "start_smearing" in rung else []))
        except Exception as error:
            if isinstance(error, OSError):  # of the machine, not of the structure
                raise
            tries.append({"changed": rung, "reason": reason(error), "cpu_s": round(time.process_time() - start, 1)})
            traceback.print_exc()
            if type(error).__name__ not in NOT_CONVERGED:
                break
            continue
        found |= {"id": task["id"], "cpu_s": round(time.process_time() - start, 1), "tries": tries, "versions": versions()}
        if rung:
            found["changed"] = rung
        write(task["done"], found)
        return
    write(task["failed"], {"id": task["id"], "reason": tries[-1]["reason"], "tries": tries, "versions": versions()})


def main():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller
    with open(sys.argv[1]) as stream:
        task = json.load(stream)
    try:
        engine = (Gpaw if task["calculator"] == "gpaw" else Plain)(task["calculator"])
    except (ImportError, AttributeError) as error:
        sys.exit(f"calculator {task['calculator']}: {reason(error)}")
    label(engine, task)


if __name__ == "__main__":
    main()
