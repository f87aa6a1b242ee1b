"""Shared by all rooms: the bundled model and the EAM oracle."""

import os
import signal
from pathlib import Path

import pytest

from metalff.lammps import potentials_dir
from metalff.paths import lock, shared

os.environ.setdefault("OMP_NUM_THREADS", "1")
# ranks that wait for one another give way: there are more of them than cores
os.environ |= {"MPIR_CVAR_CH4_PROGRESS_THROTTLE": "1", "MPIR_CVAR_CH4_PROGRESS_THROTTLE_NO_PROGRESS_COUNT": "50"}
# a shell's background jobs ignore Ctrl-C, and so would the processes that tests start and interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)

EAM_FILE = "Cu_mishin1.eam.alloy"

LONGEST = """
lammps/test_parity.py train/test_mace_training.py engine/test_compiled_cache.py lammps/test_robust.py dft/test_queue.py
lammps/test_monte_carlo.py report/test_campaign.py lammps/test_types.py train/test_nep_training.py deploy/test_sevennet.py
lammps/test_exclusion.py lammps/test_guards.py lammps/test_restart.py sweep/test_campaign.py train/test_deepmd_training.py
potentials/test_universal.py docs/test_blocks.py lammps/test_ensemble.py study/test_learnability.py test_environments.py
engine/test_nep.py study/test_errors.py
""".split()
"""Files that begin first where several processes share the suite, so that none of them is what all others wait for at its end."""


APART = {"tests/lammps/test_parity.py": ("MACE", "NequIP", "Allegro", "DeePMD", "SevenNet", "Stillinger-Weber", "NEP", "polynomial")}
"""Files that are too long for one process: each test goes with those that have the same word in their names, the rest together."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of ``--dist loadfile``, with the parts of a file in ``APART`` as files of their own."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByPart(LoadFileScheduling):
        def _split_scope(self, nodeid):
            file = super()._split_scope(nodeid)
            return next((f"{file} {word}" for word in APART.get(file, ()) if word in nodeid), file)

        def remove_node(self, node):
            """Of a process that crashed; files that it has finished are not given out again, for who gets nothing to do asks for no more, for ever."""
            for file in [file for file, tests in self.assigned_work[node].items() if all(tests.values())]:
                del self.assigned_work[node][file]
            return super().remove_node(node)

    return ByPart(config, log)


def pytest_collection_modifyitems(items):
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


@pytest.fixture(scope="session")
def bundled_model() -> Path:
    return shared("potentials", "mlff", "Cu-mace.mlff")


@pytest.fixture(scope="session")
def eam_commands() -> list[str]:
    return ["pair_style eam/alloy", f"pair_coeff * * {potentials_dir() / EAM_FILE} Cu"]


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """``once(name, make)``: the path that ``make(folder)`` gives, called by one of the processes that share the suite."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def given(name, make) -> Path:
        folder = root / "once" / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as stream:
            lock(stream.fileno(), folder, wait=True)
            made = folder / ".made"
            if not made.exists():
                made.write_text(str(make(folder)))
            return Path(made.read_text())

    return given


@pytest.fixture(scope="session")
def oracle(once) -> Path:
    """EAM as an artefact: the same numbers as pair_style eam/alloy through the path of a machine-learned model."""
    pytest.importorskip("torch", reason="the oracle is a torch program")
    from metalff.deploy import eam

    def made(folder):
        eam.deploy(potentials_dir() / EAM_FILE, folder / "Cu-eam.mlff", say=lambda line: None)
        return folder / "Cu-eam.mlff"

    return once("oracle", made)
