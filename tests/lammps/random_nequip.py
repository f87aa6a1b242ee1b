"""A NequIP or Allegro model of nickel and copper with random weights: ``python -P random_nequip.py DEPLOY_DIR FAMILY FILE``.

Runs inside nequip's environment; DEPLOY_DIR holds ``nequip_layers.py``.
"""

import sys
from pathlib import Path

sys.path.append(sys.argv[1])
import nequip_layers

COMMON = {
    "seed": 3,
    "r_max": 4.0,
    "type_names": ["Ni", "Cu"],
    "l_max": 2,
    "num_layers": 2,
    "avg_num_neighbors": {"Ni": 16.0, "Cu": 18.0},
    "per_type_energy_shifts": {"Ni": -0.5, "Cu": -0.2},
}
ALLEGRO = {
    "builder": "AllegroModel",
    "per_type_energy_scales": {"Ni": 30.0, "Cu": 25.0},
    "parity": False,
    "num_scalar_features": 8,
    "num_tensor_features": 4,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed"},
}
# odd parity too; a per-type pair of edge types has its own cutoff
NEQUIP = {
    "builder": "NequIPGNNModel",
    "per_type_energy_scales": {"Ni": 300.0, "Cu": 250.0},
    "parity": True,
    "l_max": 1,
    "num_features": 4,
    "per_edge_type_cutoff": {"Ni": {"Cu": 3.7}},
}


def main():
    config = COMMON | (ALLEGRO if sys.argv[2] == "allegro" else NEQUIP)
    Path(sys.argv[3]).write_bytes(nequip_layers.save(nequip_layers.build(config), config))


if __name__ == "__main__":
    main()
