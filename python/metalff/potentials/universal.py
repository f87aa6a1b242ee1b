"""Universal models that run in their own framework: a child process in its environment, kept alive between calls."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from metalff.data import mptrj
from metalff.environments import environment_python
from metalff.errors import MetalffError

WORKER = Path(__file__).with_name("universal_worker.py")


@dataclass(frozen=True)
class Universal:
    """A model that comes with its framework.

    Attributes:
        family: whose environment it runs in.
        weights: its file in the environment's ``site-packages``, a pattern.
        cutoff: Å, of one layer.
        lammps: what to do for LAMMPS.
    """

    family: str
    label: str
    weights: str
    cutoff: float
    citation: str
    doi: str
    licence: str
    lammps: str

    def file(self) -> Path:
        """The file of weights.

        Raises:
            MetalffError: no environment.
        """
        packages = environment_python(self.family).parent.parent / "lib"
        return next(packages.glob(f"python*/site-packages/{self.weights}"))


SEVENNET = {
    "7net-0": ("SevenNet-0", "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"),
    "7net-mf-0": ("SevenNet-MF-0 (PBE)", "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth"),
    "7net-l3i5": ("SevenNet-l3i5", "SevenNet_l3i5/checkpoint_l3i5.pth"),
}
UNIVERSAL = {
    "chgnet": Universal(
        family="chgnet",
        label="CHGNet 0.3.0",
        weights="chgnet/pretrained/0.3.0/*.pth.tar",
        cutoff=6.0,
        citation=mptrj.CITATION,
        doi="10.1038/s42256-023-00716-3",
        licence="BSD-3-Clause",
        lammps="it cannot be deployed (docs/chgnet.md); metalff deploy sevennet 7net-0 gives a model of the same training data",
    )
} | {
    name: Universal(
        family="sevennet",
        label=label,
        weights=f"sevenn/pretrained_potentials/{file}",
        cutoff=5.0,
        citation="Y. Park et al., J. Chem. Theory Comput. 20, 4857 (2024)",
        doi="10.1021/acs.jctc.4c00190",
        licence="MIT",
        lammps=f"run: metalff deploy sevennet {name} -o MODEL.mlff",
    )
    for name, (label, file) in SEVENNET.items()
}
"""By the name to give where a potential is asked for."""


class UniversalCalculator(Calculator):
    """ASE calculator that asks a framework's own one, in the framework's environment and precision.

    Energies in eV, forces in eV/Å, stress in eV/Å³. One process is started at the first call and serves all of them.

    Args:
        name: a key of ``UNIVERSAL``.
        threads: of the framework.
    Raises:
        MetalffError: no environment, a structure that the framework refuses (with its reason), or the process has ended.
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, name: str, threads: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.model, self.threads = name, threads
        self._process = None

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        atoms = self.atoms
        for symbol in atoms.symbols:
            if symbol not in mptrj.ELEMENTS:
                raise MetalffError(f"{self.model} does not have {symbol}")
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise MetalffError("some atomic positions or cell vectors are not finite numbers: mend the structure")
        asked = {
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.tolist(),
            "pbc": atoms.pbc.tolist(),
        }
        answer = self._ask(json.dumps(asked))
        if "error" in answer:
            raise MetalffError(f"{self.model}: {answer['error']}")
        self.results = {key: np.array(answer[key]) for key in ("energies", "forces")}
        self.results |= {"energy": answer["energy"], "free_energy": answer["energy"]}
        if atoms.cell.rank == 3:
            self.results["stress"] = full_3x3_to_voigt_6_stress(np.array(answer["stress"]))
        elif "stress" in properties:
            raise PropertyNotImplementedError("a structure without a volume has no stress")

    def _ask(self, line: str) -> dict:
        """One line to the process, one line from it."""
        if self._process is None:
            self._start()
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except (OSError, ValueError):
            self._process.wait()
            self._said.seek(0)
            reason = (self._said.read().strip().splitlines() or ["no message"])[-1]
            self.close()
            raise MetalffError(f"{self.model}: its process has ended: {reason}") from None

    def _start(self) -> None:
        command = [str(environment_python(UNIVERSAL[self.model].family)), "-P", str(WORKER), self.model, str(self.threads)]
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True)

    def close(self) -> None:
        """End the process; the next calculation starts another."""
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout):
                try:
                    stream.close()  # the end of its input ends it
                except OSError:
                    pass
            self._process.wait()
            self._said.close()
        self._process = None

    def __del__(self):
        if getattr(self, "_process", None) is not None:
            self.close()
