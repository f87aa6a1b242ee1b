"""trajectory.h5: what is written comes back, and anything wrong is refused."""

import dataclasses

import h5py
import numpy as np
import pytest

from metalff.errors import MetalffError
from metalff.sweep.dump import dump_frames
from metalff.sweep.trajectory import SHAPES, Trajectory, read_trajectory, write_trajectory


@pytest.fixture
def trajectory():
    rng = np.random.default_rng(1)
    return Trajectory(
        steps=np.arange(3) * 10,
        time_ps=np.arange(3) * 0.01,
        positions=rng.normal(size=(3, 5, 3)),
        velocities=rng.normal(size=(3, 5, 3)),
        forces=rng.normal(size=(3, 5, 3)),
        cell=np.tile(np.eye(3) * 7, (3, 1, 1)),
        energy=rng.normal(size=3),
        temperature=np.full(3, 300.0),
        element="Cu",
        potential="Cu/eam",
        target_temperature=300.0,
        potential_sha256="ab",
        plan_hash="cd",
    )


def test_round_trip(trajectory, tmp_path):
    write_trajectory(trajectory, tmp_path / "trajectory.h5")
    again = read_trajectory(tmp_path / "trajectory.h5")
    for name in SHAPES:
        np.testing.assert_array_equal(getattr(again, name), getattr(trajectory, name))
    assert (again.element, again.potential, again.target_temperature) == ("Cu", "Cu/eam", 300.0)


NEGATIVE_CONTROLS = [
    (
        lambda t: {"forces": np.where(np.arange(3)[:, None, None] == 1, np.nan, t.forces)},
        "forces of Cu/eam at 300 K contains numbers",
    ),
    (lambda t: {"energy": t.energy[:2]}, r"energy of a trajectory has the shape \[2\] instead of \[3\]"),
    (lambda t: {"positions": t.positions[0]}, r"have the shape \[F,N,3\], not \[5, 3\]"),
    (lambda t: {"steps": t.steps[::-1]}, "steps of a trajectory must increase"),
    (lambda t: {"cell": -t.cell}, "must have a positive volume"),
]


@pytest.mark.parametrize("changes, message", NEGATIVE_CONTROLS)
def test_refuses(trajectory, changes, message):
    with pytest.raises(MetalffError, match=message):
        dataclasses.replace(trajectory, **changes(trajectory))


def test_refuses_a_truncated_file(trajectory, tmp_path):
    path = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MetalffError, match="is damaged or no trajectory"):
        read_trajectory(path)


def test_refuses_a_flipped_byte(trajectory, tmp_path):
    path = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, path)
    with h5py.File(path) as file:
        offset = file["forces"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset + 20] ^= 255
    path.write_bytes(content)
    with pytest.raises(MetalffError, match="is damaged or no trajectory"):
        read_trajectory(path)


def test_refuses_another_schema(trajectory, tmp_path):
    path = tmp_path / "trajectory.h5"
    write_trajectory(trajectory, path)
    with h5py.File(path, "a") as file:
        file.attrs["schema"] = 2
    with pytest.raises(MetalffError, match="has schema 2, this MetalFF reads 1"):
        read_trajectory(path)


def test_refuses_no_file(tmp_path):
    with pytest.raises(MetalffError, match="there is no"):
        read_trajectory(tmp_path / "trajectory.h5")


FRAME = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS xy xz yz pp pp pp
-1.0 6.5 0.5
0.0 7.0 -1.0
0.0 8.0 0.0
ITEM: ATOMS id type xu yu zu vx vy vz fx fy fz
2 1 1 2 3 4 5 6 7 8 9
1 1 0 0 0 0 0 0 0 0 {step}
"""


def test_dump(tmp_path):
    """Atoms by id, tilted cell from its bounding box, a torn last frame left out."""
    path = tmp_path / "run.dump"
    whole = FRAME.format(step=10) + FRAME.format(step=20)
    for cut in (1, 20, 120):
        path.write_text(whole + FRAME.format(step=30)[:-cut])
        assert list(dump_frames(path)) == [10, 20]
    cell, atoms = dump_frames(path)[20]
    np.testing.assert_array_equal(atoms[0], [0, 0, 0, 0, 0, 0, 0, 0, 20])
    np.testing.assert_allclose(cell, [[6, 0, 0], [0.5, 7, 0], [-1, 0, 8]])


def test_dump_of_another_kind(tmp_path):
    path = tmp_path / "run.dump"
    path.write_text(FRAME.format(step=1).replace(" fx fy fz", ""))
    with pytest.raises(MetalffError, match="does not begin with a frame"):
        dump_frames(path)
