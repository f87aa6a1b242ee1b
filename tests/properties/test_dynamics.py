"""Measurements by molecular dynamics, tiny ones, with the EAM of copper."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from metalff.errors import MetalffError
from metalff.lammps import is_whole_restart
from metalff.potentials import resolve
from metalff.properties import measure, melting
from metalff.properties.anharmonic_phonons import away, fit, harmonic_forces, lattice
from metalff.properties.expansion import bootstrap, coefficient
from metalff.properties.lattice import run as lattice_constants
from metalff.properties.measurement import Settings, Skip, Subject
from metalff.properties.melting import Attempt, coexistence_temperature, next_guess, phase_of, repeats
from metalff.properties.molecular_dynamics import Stage, State, crystal_start, follow
from metalff.properties.phonons import harmonic
from metalff.properties.registry import measurements

SETTINGS = Settings(md_atoms=32, md_equilibrate=0.4, md_sample=0.6, drift_ps=1.0, liquid_ps=2.0)


def subject(settings=SETTINGS, work=None) -> Subject:
    return Subject(resolve("Cu/eam"), "Cu", settings, work=work)


def test_constant_energy_is_constant():
    found = measurements()["drift"].run(subject()).values
    assert found["fluctuation"].value < 0.2  # 2 fs, 400 K and more of kinetic energy: 100 meV
    assert found["drift"].low <= found["drift"].value <= found["drift"].high
    assert 300 < found["temperature"].value < 1100


class Springs(Calculator):
    """Every atom on a spring of its own, 3 eV/Å²."""

    k = 3.0
    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, sites, lengths):
        super().__init__()
        self.sites, self.lengths = sites, lengths

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        u = atoms.positions - self.sites
        u = u - np.round(u / self.lengths) * self.lengths
        self.results = {"energy": 0.5 * self.k * float((u**2).sum()), "forces": -self.k * u, "stress": np.zeros(6)}


def test_an_einstein_crystal_moves_as_its_springs_say():
    """The mean square displacement of each component is kT/k; in ASE."""
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    start = State(atoms.positions, None, atoms.cell.lengths())
    one = Subject(SimpleNamespace(name="springs", kind="universal", calculator=lambda: Springs(start.positions, start.lengths)), "Cu", SETTINGS)
    before = follow(one, "before", start, Stage("nvt", 300, 1.0, 0.1))
    stretch = follow(one, "springs", before.last, Stage("nvt", 300, 8.0, 0.1))
    u = stretch.unwrapped - start.positions
    u = u - np.round(u / start.lengths) * start.lengths
    assert stretch.temperature.mean() == pytest.approx(300, rel=0.12)
    assert np.mean(u**2) == pytest.approx(8.617333e-5 * stretch.temperature.mean() / Springs.k, rel=0.15)


def test_structure_solid_and_molten():
    found = measurements()["structure"].run(subject(Settings(md_atoms=108, md_equilibrate=0.5, md_sample=0.5)))
    frames = {name.rpartition("_")[2]: one.value for name, one in found.values.items() if name.startswith("solid_frames")}
    assert frames["300K"] == 1 and frames["1630K"] == 0
    assert found.values["coordination_300K"].value == pytest.approx(12, abs=0.3)
    assert found.values["first_peak_300K"].value == pytest.approx(3.63 / np.sqrt(2), abs=0.06)
    g, angles = found.curves["g(r) 300K"], found.curves["angles 300K"]
    assert max(g.y) > 2 * max(found.curves["g(r) 1630K"].y) / 1.5
    assert np.sum(angles.y) * 2 == pytest.approx(1, rel=1e-6) and abs(angles.x[int(np.argmax(angles.y))] - 60) < 6


def test_a_killed_run_goes_on(tmp_path):
    words = ["properties", "Cu/eam", "--measure", "drift", "--out", str(tmp_path), "--jobs", "1", "--setting", "md_atoms=32"]
    words += ["--setting", "md_equilibrate=0.2", "--setting", "drift_ps=24"]
    process = subprocess.Popen(
        [sys.executable, "-m", "metalff.cli", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    folder = tmp_path / "Cu-eam" / "Cu" / "work"
    limit = time.monotonic() + 60
    while process.poll() is None and not list(folder.glob("drift-*/drift-nve-0001.npz")) and time.monotonic() < limit:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.read_bytes() for path in folder.glob("drift-*/*.npz")}
    assert len(kept) >= 5 and not (folder.parent / "drift.json").exists()
    settings = Settings(md_atoms=32, md_equilibrate=0.2, drift_ps=24)
    again = Subject(resolve("Cu/eam"), "Cu", settings, work=next(folder.glob("drift-*")))
    found = measurements()["drift"].run(again)
    assert all(path.read_bytes() == content for path, content in kept.items())
    energy = np.array(found.curves["energy"].y)
    assert abs(found.values["drift"].value) < 5 and np.abs(np.diff(energy)).max() < 0.5  # no leap where it was killed
    (done,) = (one for one in measure("Cu/eam", measurements="drift", out=tmp_path, settings=settings)["results"] if one["measurement"] == "drift")
    assert done["values"]["drift"]["value"] == pytest.approx(found.values["drift"].value, rel=1e-6)
    assert not folder.exists()


def test_what_progress_raises_ends_a_measurement_and_is_no_failure(tmp_path):
    said = []

    def progress(title, done, total, sentence):
        said.append(title)
        if "nve" in title:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        measure("Cu/eam", measurements="drift", out=tmp_path, settings=SETTINGS, progress=progress)
    assert any(title == "Cu-eam drift: drift-settle 100 %" for title in said)
    folder = tmp_path / "Cu-eam" / "Cu"
    assert not (folder / "drift.json").exists() and list(folder.glob("work/drift-*/drift-nve-0000.npz"))


def test_a_damaged_checkpoint_is_run_again(tmp_path):
    one = subject(work=tmp_path)
    stage = Stage("nve", 300, 1.0, 0.01)
    whole = follow(one, "x", crystal_start(one), stage)
    files = sorted(tmp_path.glob("x-*.npz"))
    assert len(files) == 2
    files[1].write_bytes(files[1].read_bytes()[:1000])
    again = follow(one, "x", crystal_start(one), stage)
    assert np.array_equal(again.positions[:50], whole.positions[:50]) and again.potential == pytest.approx(whole.potential, abs=1e-4)


def test_a_blow_up_is_a_failure_with_its_time():
    one = subject()
    start = crystal_start(one)
    squeezed = start.positions.copy()
    squeezed[0] = squeezed[1] + 0.4
    with pytest.raises(MetalffError, match=r"molecular dynamics at 300 K \(x\) blew up: .*; last good at 0\.\d\d ps"):
        follow(one, "x", State(squeezed, None, start.lengths), Stage("nve", 300, 0.5))


def test_dynamics_of_ase_are_those_of_lammps():
    one = subject()
    start = crystal_start(one)
    begun = follow(one, "begin", start, Stage("nvt", 300, 0.1, 0.05)).last
    other = Subject(SimpleNamespace(name="in ASE", kind="universal", calculator=one.potential.calculator), "Cu", SETTINGS)
    a, b = (follow(which, "nve", begun, Stage("nve", 300, 0.2, 0.02)) for which in (one, other))
    assert b.unwrapped == pytest.approx(a.unwrapped, abs=2e-4)
    assert b.pressure == pytest.approx(a.pressure, abs=5e-3) and b.kinetic == pytest.approx(a.kinetic, rel=1e-3)


def test_expansion_of_a_parabola():
    t = np.array([0.0, 200, 400, 600, 800])
    length = 3.6 * (1 + 1.5e-5 * t + 4e-9 * t**2)
    wanted = (1.5e-5 + 8e-9 * 300) / (1 + 1.5e-5 * 300 + 4e-9 * 300**2)
    assert coefficient(t, length, 300) == pytest.approx(wanted, rel=1e-9)
    draw = np.random.default_rng(1)
    error = np.array([0, 1e-4, 1e-4, 1e-4, 1e-4])
    covered = []
    for seed in range(40):
        _, low, high = bootstrap(t, length + error * draw.standard_normal(5), error, 300, seed)
        covered.append(low <= wanted <= high)
    assert sum(covered) >= 33


def test_expansion_of_copper_is_near():
    one = subject(Settings(md_atoms=32, md_equilibrate=1.0, md_sample=2.0))
    one.found["eos"] = measurements()["eos"].run(one)
    found = measurements()["expansion"].run(one).values["expansion"]
    assert 10 < found.value < 24 and found.low < found.value < found.high


def test_the_liquid_diffuses():
    found = measurements()["diffusion"].run(subject(Settings(md_atoms=108, md_equilibrate=0.5, liquid_ps=3.0))).values
    assert 1.5 < found["diffusion_of_cell"].value < 8 and found["diffusion"].value > found["diffusion_of_cell"].value


def test_which_phase_is_left():
    assert phase_of(np.linspace(0.5, 0.4, 40)) == "both"
    assert phase_of([0.5] * 30 + [0.02] * 10) == "liquid"
    assert phase_of([0.5] * 5 + [1.0] * 35) == "solid"


def test_guesses_are_bisected():
    """A metal that melts at 1000 K, whose cell keeps both phases within 30 K of it and ends 100 K nearer."""
    attempts, guess = [], 1500.0
    for _ in range(7):
        away = guess - 1000
        phase = "both" if abs(away) < 130 else "liquid" if away > 0 else "solid"
        attempts.append(Attempt(guess, guess - np.sign(away) * 100, phase))
        if phase == "both":
            break
        guess = next_guess(attempts)
    assert attempts[-1].phase == "both" and len(attempts) <= 5
    assert next_guess([Attempt(1500, 1300, "liquid"), Attempt(1000, 1100, "solid")]) == 1200
    with pytest.raises(MetalffError, match="no melting temperature follows"):
        next_guess([Attempt(1500, 1000, "liquid"), Attempt(1000, 1100, "solid")])


def test_the_beginning_does_not_count():
    series = np.concatenate([np.linspace(1500, 1000, 40), 1000 + np.random.default_rng(1).normal(0, 5, 60)])
    mean, low, high = coexistence_temperature(series)
    assert mean == pytest.approx(1000, abs=3) and low < mean < high


def test_solid_and_liquid_coexist(tmp_path, monkeypatch):
    monkeypatch.setattr(melting, "STAGES_PS", {"steps_npt": 2.0, "steps_melt": 4.0, "steps_settle": 1.0})
    settings = Settings(md_atoms=108, melting_atoms=430, melting_ps=4.0)
    one = subject(settings, tmp_path)
    assert repeats(one.cell, 430) == (3, 3, 12)
    found = measurements()["melting"].run(one)
    assert 1000 < found.values["melting_temperature"].value < 1700
    assert 0.12 < found.values["solid_part"].value < 0.88
    (state,) = tmp_path.glob("1358K.*.state")
    assert is_whole_restart(state)
    longer = subject(settings.model_copy(update={"melting_ps": 5.0}), tmp_path)
    on = measurements()["melting"].run(longer).curves["temperature"]
    assert on.y[:20] == found.curves["temperature"].y and len(on.y) == 25
    assert on.x == pytest.approx(0.2 * np.arange(1, 26))
    assert abs(np.mean(on.y[20:]) - np.mean(on.y[15:20])) < 200


def test_heat_flux_only_where_it_is_right():
    conductivity = measurements()["conductivity"].run
    for name in ("Cu/eam", "Cu/mace"):
        with pytest.raises(Skip, match="heat flux"):
            conductivity(Subject(resolve(name), "Cu", SETTINGS))
    one = Subject(resolve("Cu/nep"), "Cu", Settings(md_atoms=32, md_equilibrate=0.2, conductivity_ps=20.0))
    from metalff.properties.conductivity import heat_flux

    start = follow(one, "x", crystal_start(one), Stage("nvt", 300, 0.2)).last
    flux, temperature = heat_flux(one, start, 300.0)
    assert flux.shape == (2000, 3) and 150 < temperature < 500
    assert np.abs(flux.mean(axis=0)).max() < 0.5 * flux.std()


def test_symfc_finds_the_springs_that_forces_came_from():
    one = Subject(resolve("Cu/eam"), "Cu", Settings(phonon_length=7.0))
    one.found["lattice"] = lattice_constants(one)
    truth = harmonic(one)
    made = lattice(one, one.cell)
    u = np.random.default_rng(1).normal(0, 0.05, (12, len(made.supercell), 3))
    u -= u.mean(axis=1, keepdims=True)
    limit = sys.getrecursionlimit()
    fit(made, u, harmonic_forces(truth, u))
    assert sys.getrecursionlimit() == limit, "a file nested deeply would end the process"
    made.run_mesh(20.0)
    truth.run_mesh(20.0)
    assert made.mesh.frequencies == pytest.approx(truth.mesh.frequencies, abs=0.02)


def test_displacements_by_the_nearest_image():
    rest, lengths = np.array([[0.1, 0.1, 0.1], [5.0, 5, 5]]), np.full(3, 10.0)
    found = away(np.array([[[9.9, 0.1, 0.1], [5.2, 5, 5]]]), rest, lengths)
    assert found[0, :, 0] == pytest.approx([-0.2, 0.2])
