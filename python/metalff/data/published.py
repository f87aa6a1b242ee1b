"""Force errors that others published on the bundled sets: universal models, as they are, on every frame of Zuo et al. (2020).

``published.csv`` was computed from the per-frame predictions of the JARVIS leaderboard (NIST; public domain in the US): per element, split and group
the number of frames and atoms, force RMSE and MAE, and the RMS force of the labels, eV/Å. Its ``strain`` may hold a crystal at rest, which
the bundled sets call ``ground``. Nothing of it was measured here, so it stands beside what was and is never mixed with it.
"""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from metalff.data.bundled import load

FILE = Path(__file__).with_name("published.csv")

SOURCE = "published predictions, JARVIS leaderboard"
"""What to write above these errors, wherever they stand."""

CITATION = "K. Choudhary et al., npj Comput. Mater. 10, 93 (2024), doi:10.1038/s41524-024-01259-w"

WHOLE = "all"
"""The group of every frame of a split."""

LABELS = {
    "alignn_ff": "ALIGNN-FF",
    "chgnet": "CHGNet",
    "eqV2_153M_omat": "eqV2 153M, OMat",
    "eqV2_31M_omat": "eqV2 31M, OMat",
    "eqV2_31M_omat_mp_salex": "eqV2 31M, OMat + MP + sAlex",
    "eqV2_86M_omat": "eqV2 86M, OMat",
    "eqV2_86M_omat_mp_salex": "eqV2 86M, OMat + MP + sAlex",
    "mace": "MACE",
    "mace-alexandria": "MACE, Alexandria",
    "matgl": "M3GNet (matgl)",
    "matgl-direct": "M3GNet-DIRECT (matgl)",
    "orb-v2": "ORB v2",
    "sevennet": "SevenNet",
}
"""Names of the leaderboard → for tables and plots."""


@dataclass(frozen=True)
class Published:
    """Errors of one model on one set.

    Attributes:
        model: as the leaderboard calls it.
        groups: ``all`` and each group → ``frames``, ``atoms``, ``force_rmse``, ``force_mae``, ``force_rms`` (of the labels; eV/Å).
    """

    model: str
    groups: dict[str, dict[str, float]]

    @property
    def label(self) -> str:
        return LABELS.get(self.model, self.model)

    @property
    def force_rmse(self) -> float:
        """Of all frames, eV/Å."""
        return self.groups[WHOLE]["force_rmse"]

    @property
    def force_mae(self) -> float:
        """Of all frames, eV/Å."""
        return self.groups[WHOLE]["force_mae"]

    @property
    def normalised(self) -> float:
        """RMSE over the RMS force of the labels."""
        return self.force_rmse / self.groups[WHOLE]["force_rms"]


@lru_cache
def table() -> dict[tuple[str, str], tuple[Published, ...]]:
    """(element, split) → the models, the one with the smallest force RMSE first."""
    found: dict[tuple[str, str], dict[str, dict]] = {}
    with FILE.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            errors = {key: float(row[f"{name}_eV_per_A"]) for key, name in (("force_rmse",) * 2, ("force_mae",) * 2, ("force_rms", "rms_force"))}
            counts = {key: int(row[key]) for key in ("frames", "atoms")}
            found.setdefault((row["element"], row["split"]), {}).setdefault(row["model"], {})[row["group"]] = counts | errors
    return {key: tuple(sorted((Published(*item) for item in models.items()), key=lambda p: p.force_rmse)) for key, models in found.items()}


@lru_cache
def _known() -> dict[str, tuple[str, str]]:
    """Hash of a bundled split → element and split."""
    return {load(f"zuo2020-{element}", split).sha256: (element, split) for element, split in table()}


def published(sha256: str) -> tuple[Published, ...]:
    """What was published on the frames with this hash (``Dataset.sha256``), the smallest force RMSE first; empty where nothing was."""
    return table().get(_known().get(sha256), ())
