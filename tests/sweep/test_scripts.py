"""Each script of ``lammps_inputs`` runs by hand, with the command line that its first lines give, and goes on as they say."""

import re
import shlex
import subprocess

import pytest

from metalff.lammps import environment, lmp_executable
from metalff.paths import shared
from metalff.potentials import resolve
from metalff.sweep.log import columns, last_step, thermo_rows

SHORT = {
    "in.sweep": {"steps_npt": 100, "steps_nvt": 100, "steps_nve": 100},
    "in.ramp": {"steps_npt": 100, "steps_ramp": 200},
    "in.strain": {"steps_npt": 100, "steps_strain": 200},
    "in.coexistence": {"steps_npt": 50, "steps_melt": 100, "steps_settle": 50, "steps_nph": 100},
}
"""Fewer steps than a person would take."""

SMALL = {"nx": 2, "ny": 2, "nz": 2, "thermo_interval": 10, "dump_interval": 50, "restart_interval": 60}


def by_hand(folder, name: str, **more) -> subprocess.CompletedProcess:
    """The documented command, with a small cell and few steps."""
    path = shared("lammps_inputs", name)
    said = next(line for line in path.read_text().splitlines() if re.match(rf"#\s+lmp -in {name} ", line))
    words = shlex.split(said.lstrip("# "))[1:]
    words[words.index(name)] = str(path)
    given = {words[at + 1]: words[at + 2] for at, word in enumerate(words) if word == "-var"} | SMALL | SHORT[name] | more
    kept = words[:2] + [word for key, value in given.items() for word in ("-var", key, str(value))]
    (folder / "pot.in").write_text("\n".join(resolve("Cu/eam", ["Cu"]).lammps_commands()) + "\n")
    return subprocess.run([lmp_executable(), *kept], cwd=folder, env=environment(), capture_output=True, text=True)


@pytest.mark.parametrize("name", SHORT)
def test_the_documented_command(name, tmp_path):
    """To its end; and from a restart file to the same end."""
    done = by_hand(tmp_path, name)
    total = sum(value for key, value in SHORT[name].items() if key.startswith("steps"))
    assert done.returncode == 0 and f"finished at step {total}" in done.stdout, done.stdout[-2000:]
    (restart,) = tmp_path.glob("*.restart.a")
    log = tmp_path / "log.lammps"
    first = thermo_rows(log)
    again = by_hand(tmp_path, name, restart=restart, prefix="again")
    assert again.returncode == 0 and thermo_rows(log)[0, 0] > 0 and last_step(log) == total
    assert thermo_rows(log)[-1, 6] == pytest.approx(first[-1, 6], rel=0.03)


@pytest.mark.parametrize("name", SHORT)
def test_a_file_stops_it(name, tmp_path):
    (tmp_path / "stop").touch()
    done = by_hand(tmp_path, name)
    assert done.returncode == 0 and "Stopped at step 10" in done.stdout and list(tmp_path.glob("*.restart.c"))


@pytest.mark.parametrize("direction, grown", [("x", {"lx"}), ("z", {"lz"}), ("volume", {"lx", "ly", "lz"}), ("xy", set())])
def test_a_strain_is_the_same_after_a_restart(direction, grown, tmp_path):
    log, start = tmp_path / "log.lammps", None
    for more in ({}, {"restart": "cu.restart.b", "prefix": "again"}):
        done = by_hand(tmp_path, "in.strain", direction=direction, strain=0.05, **more)
        assert done.returncode == 0, done.stdout[-1000:]
        rows, names = thermo_rows(log), [name.lower() for name in columns(log)]
        if start is None:
            start = rows[rows[:, 0] == 100][0][names.index("lx")]
        for name in ("lx", "ly", "lz"):
            assert rows[-1][names.index(name)] / start == pytest.approx(1.05 if name in grown else 1.0, rel=1e-6)
        assert rows[-1][names.index("xy")] / start == pytest.approx(0.05 if direction == "xy" else 0.0, abs=1e-7)
