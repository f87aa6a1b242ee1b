# %% [markdown]
# # Phonons and elastic constants, by three programs
#
# `MLFFCalculator` is a calculator of ASE like any other, so whatever takes one can judge a model: here phonopy, called directly, and
# [matcalc](https://matcalc.ai), beside `metalff properties`. They should agree, and where they do not the reason is in their settings.
#
# matcalc is no part of MetalFF: `pip install matcalc==0.7.0` (tried beside torch 2.13 and numpy 2.4, which it leaves alone).
# Some twenty seconds on one core; nothing is written.

# %%
import warnings

import numpy as np
from ase.build import bulk
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

import metalff

MODEL = "Cu/poly"

# %% [markdown]
# ## metalff properties

# %%
document = metalff.measure(MODEL, measurements="lattice,elastic,eos,phonons")
ours = {row["measurement"]: {name: value["value"] for name, value in row["values"].items()} for row in document["results"]}
a = ours["lattice"]["a"]
print(f"a = {a:.4f} Å, " + ", ".join(f"{name} = {ours['elastic'][name]:.1f} GPa" for name in ("C11", "C12", "C44")))

# %% [markdown]
# ## phonopy
# Finite displacements of 0.01 Å in a 4 × 4 × 4 supercell of the cubic cell, forces by the calculator. At X the branches of fcc are one longitudinal and
# two transversal ones.

# %%
cell = bulk("Cu", "fcc", a=a, cubic=True)
unit = PhonopyAtoms(symbols=cell.get_chemical_symbols(), cell=cell.cell.array, scaled_positions=cell.get_scaled_positions())
phonon = Phonopy(unit, supercell_matrix=np.diag([4, 4, 4]), primitive_matrix="F", log_level=0)
phonon.generate_displacements(distance=0.01)


def forces_of(supercell) -> np.ndarray:
    atoms = bulk("Cu", "fcc", a=a, cubic=True) * (4, 4, 4)
    atoms.set_scaled_positions(supercell.scaled_positions)
    atoms.calc = metalff.MLFFCalculator(MODEL)
    return atoms.get_forces()


phonon.forces = np.array([forces_of(supercell) for supercell in phonon.supercells_with_displacements])
phonon.produce_force_constants()
phonon.symmetrize_force_constants()
phonon.run_qpoints([[0.5, 0.5, 0.0]])
at_x = np.asarray(phonon.qpoints.frequencies)[0]
phonon.run_mesh(40.0)
phonon.run_thermal_properties(t_min=300, t_max=300, t_step=10, cutoff_frequency=0.05)
heat = float(np.asarray(phonon.thermal_properties.heat_capacity)[0])
print("at X: " + ", ".join(f"{frequency:.3f}" for frequency in at_x) + f" THz; heat capacity at 300 K {heat:.3f} J/(mol K)")

# %% [markdown]
# ## matcalc
# Elastic constants by fits over strains of up to 1 % (normal) and 6 % (shear) as it has them by default, and once more over 0.4 % as MetalFF has them;
# bulk modulus by an equation of state over 10 % of strain; heat capacity by phonopy in its own supercell. It warns of a mean R² of 1/3: 12 of the 36
# components are fitted, and those that vanish by symmetry have nothing to fit. MetalFF warns of the widest strains, which no training frame has.

# %%
from matcalc import ElasticityCalc, EOSCalc, PhononCalc  # noqa: E402

warnings.filterwarnings("ignore", message="Elastic strain-stress fits have mean R")
calculator = metalff.MLFFCalculator(MODEL)
shared = {"calculator": calculator, "fmax": 1e-4}


def cubic(**settings) -> dict[str, float]:
    tensor = ElasticityCalc(**shared, **settings, units_GPa=True).calc(bulk("Cu", "fcc", a=a, cubic=True))["elastic_tensor"].voigt
    return {"C11": tensor[0, 0], "C12": tensor[0, 1], "C44": tensor[3, 3]}


wide = cubic()
narrow = cubic(norm_strains=(-0.004, 0.004), shear_strains=(-0.004, 0.004))
eos = EOSCalc(**shared).calc(bulk("Cu", "fcc", a=a, cubic=True))["bulk_modulus_bm"]
thermal = PhononCalc(calculator=calculator, min_length=14, write_phonon=False, t_min=300, t_max=300).calc(bulk("Cu", "fcc", a=a))[
    "thermal_properties"
]

# %% [markdown]
# ## Side by side

# %%
rows = [(name, ours["elastic"][name], narrow[name], wide[name], "GPa") for name in ("C11", "C12", "C44")]
rows += [("bulk modulus (EOS)", ours["eos"]["bulk_modulus"], None, eos, "GPa")]
rows += [("heat capacity, 300 K", ours["phonons"]["heat_capacity_300K"], heat, float(thermal["heat_capacity"][0]), "J/(mol K)")]
print(f"{'':22s}{'metalff':>10s}{'same way':>10s}{'matcalc':>10s}")
for name, own, same, theirs, unit_name in rows:
    print(f"{name:22s}{own:10.2f}{'–' if same is None else format(same, '.2f'):>10s}{theirs:10.2f} {unit_name}")

# %% [markdown]
# The same strains give the same constants; at 6 % of shear a metal is no longer linear, which is what the last column shows.

# %%
for name, own, same, theirs, _ in rows:
    assert same is None or abs(same / own - 1) < 0.01, name
    assert abs(theirs / own - 1) < 0.08, name
