"""The MACE models of engine/mace_variants.py as artefacts with nothing but the native payload."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np

import metalff.deploy
import selftests
from metalff.artifact import Manifest
from metalff.environments import create, environment_python

PAYLOAD = "native/mace.safetensors"
SCRIPT = Path(__file__).parent / "engine" / "mace_variants.py"
NAMES = re.findall(r'^    "(.*)": dict\(', SCRIPT.read_text(), re.MULTILINE)


def make(folder: Path) -> dict:
    """By name: artefact and mace's numbers."""
    create("mace")
    deploying = Path(metalff.deploy.__file__).parent
    subprocess.run([environment_python("mace"), "-P", SCRIPT, deploying, folder], check=True, capture_output=True)
    made = {}
    for name, entry in json.loads((folder / "variants.json").read_text()).items():
        path = folder / f"{entry['file']}.mlff"
        write(path, (folder / f"{entry['file']}.safetensors").read_bytes(), entry["elements"], entry["layers"])
        made[name] = path, dict(np.load(folder / f"{entry['file']}.npz"))
    return made


def write(path, payload, elements=1, layers=2):
    manifest = Manifest(
        name="variant",
        family="mace",
        elements=["Al", "Cu", "Ni"][:elements] if elements > 1 else ["Cu"],
        r_max=4.5,
        layers=layers,
    )
    return selftests.write(path, manifest, PAYLOAD, payload)
