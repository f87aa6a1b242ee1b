"""``Trajectory``: one run as stacked arrays, and its file ``trajectory.h5``."""

from dataclasses import dataclass, fields

import numpy as np

from metalff.errors import MetalffError
from metalff.paths import atomic_hdf5

SCHEMA = 1
"""Number of the layout of ``trajectory.h5``."""

SHAPES = {
    "steps": "F",
    "time_ps": "F",
    "positions": "FN3",
    "velocities": "FN3",
    "forces": "FN3",
    "cell": "F33",
    "energy": "F",
    "temperature": "F",
}
"""Arrays of the file and their shapes: F frames, N atoms."""


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Frames of one run at one temperature.

    Attributes:
        steps: [F] int64, increasing.
        time_ps: [F] ps since the start of the run, equilibration included.
        positions: [F,N,3] Å, unwrapped: differences are displacements.
        velocities: [F,N,3] Å/ps.
        forces: [F,N,3] eV/Å.
        cell: [F,3,3] Å, rows are the vectors.
        energy: [F] eV, potential energy of the cell.
        temperature: [F] K, from the velocities.
        element: chemical symbol of all atoms.
        potential: its name.
        target_temperature: K, of the thermostat.
        potential_sha256: hash of the potential's files.
        plan_hash: hash of the sweep that the run belongs to.
    Raises:
        MetalffError: a shape is wrong, a number is not finite, there is no frame, or the steps do not increase.
    """

    steps: np.ndarray
    time_ps: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray
    forces: np.ndarray
    cell: np.ndarray
    energy: np.ndarray
    temperature: np.ndarray
    element: str
    potential: str
    target_temperature: float
    potential_sha256: str
    plan_hash: str

    def __post_init__(self):
        if self.positions.ndim != 3 or 0 in self.positions.shape:
            raise MetalffError(f"positions of a trajectory have the shape [F,N,3], not {list(self.positions.shape)}")
        sizes = {"F": self.positions.shape[0], "N": self.positions.shape[1], "3": 3}
        for name, shape in SHAPES.items():
            array, expected = getattr(self, name), tuple(sizes[letter] for letter in shape)
            if array.shape != expected:
                raise MetalffError(f"{name} of a trajectory has the shape {list(array.shape)} instead of {list(expected)}")
            if not np.isfinite(array).all():
                raise MetalffError(f"{name} of {self.potential} at {self.target_temperature:g} K contains numbers that are not finite")
        if (np.diff(self.steps) <= 0).any():
            raise MetalffError("the steps of a trajectory must increase")
        if (np.linalg.det(self.cell) <= 0).any():
            raise MetalffError("the cell of a trajectory must have a positive volume")


def write_trajectory(trajectory: Trajectory, path) -> None:
    """Write ``path`` in one go: it is either the whole trajectory or what was there before."""
    with atomic_hdf5(path) as file:
        file.attrs["schema"] = SCHEMA
        for field in fields(Trajectory):
            value = getattr(trajectory, field.name)
            if field.name in SHAPES:
                file.create_dataset(field.name, data=value, compression="gzip", shuffle=True, fletcher32=True)
            else:
                file.attrs[field.name] = value


def read_trajectory(path) -> Trajectory:
    """Read and check ``trajectory.h5``.

    Raises:
        MetalffError: the file is missing, truncated, of another schema, or its arrays are wrong.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            schema = file.attrs.get("schema")
            if schema != SCHEMA:
                raise MetalffError(f"{path} has schema {schema}, this MetalFF reads {SCHEMA}; write the file again with one version")
            arrays = {name: file[name][()] for name in SHAPES}
            rest = {field.name: file.attrs[field.name] for field in fields(Trajectory) if field.name not in SHAPES}
    except (OSError, KeyError) as error:
        if isinstance(error, FileNotFoundError):
            raise MetalffError(f"there is no {path}") from error
        raise MetalffError(f"{path} is damaged or no trajectory of MetalFF; remove the job's folder and run the sweep again") from error
    return Trajectory(**arrays, **rest)
