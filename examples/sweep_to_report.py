# %% [markdown]
# # From a sweep to a report, in Python
#
# Two potentials of copper at two temperatures, with errors against DFT and elastic constants; then what the trajectories say, and one page with
# everything. Some half a minute on two cores.
#
# It writes `campaign/`, `properties/` and `report.html` into the current folder; run it again and it goes on where it was.

# %%
import numpy as np

import metalff
from metalff.validate.order import phase, solid_fraction
from metalff.validate.structure import radial_distribution

# %% [markdown]
# ## The plan
# The same keys as in a YAML file (docs/sweep.md). `0.5 Tm` is half of the experimental melting temperature.

# %%
PLAN = {
    "elements": ["Cu"],
    "potentials": ["{element}/poly", "{element}/eam"],
    "temperatures": [150, "0.5 Tm"],
    "steps": {"equilibrate": 500, "sample": 500, "drift": 0},
    "dump_interval": 20,
    "thermo_interval": 10,
    "data": "zuo2020-{element}:test",
    "seed": 20260102,
}
campaign = metalff.run_sweep(PLAN, out="campaign")
print(f"{len(campaign.runs)} runs finished, {len(campaign.unfinished)} not")
assert not campaign.unfinished

# %% [markdown]
# ## What happened
# `thermo` is a pandas table of every stage; `trajectory` has the frames of the stage that is sampled, as arrays.

# The first peak of g(r) falls and widens as atoms move more; whether a frame is solid is told by its bonds (docs/metrics.md).

# %%
for run in campaign.runs:
    trajectory = run.trajectory
    r, g = radial_distribution(trajectory.positions, trajectory.cell)
    told = phase([solid_fraction(positions, cell, "fcc") for positions, cell in zip(trajectory.positions, trajectory.cell)])
    kelvin = np.mean(trajectory.temperature)
    print(f"{run.potential:8s} {run.temperature:4.0f} K: {kelvin:4.0f} K, {told}, g(r) has its first peak of {g.max():.1f} at {r[g.argmax()]:.2f} Å")

# %% [markdown]
# ## Elastic constants beside experiment

# %%
document = metalff.measure(["Cu/poly", "Cu/eam"], measurements="elastic", out="properties")
for row in document["results"]:
    print(row["model"], row["measurement"], {name: round(value["value"], 2) for name, value in row["values"].items()})

# %% [markdown]
# ## The report

# %%
page = metalff.write_report(["campaign", "properties"], "report.html", "Copper, from a sweep to a report")
print(f"{page}: {page.stat().st_size / 1e3:.0f} kB, which load nothing from a network")
