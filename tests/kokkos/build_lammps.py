"""A LAMMPS with KOKKOS (Serial and OpenMP) for the tests, and mlffkkplugin.so for it: built once into the cache.

``python tests/kokkos/build_lammps.py`` builds; the source is the archive that ``$KOKKOS_LAMMPS_ARCHIVE`` names, else Debian's source package
``lammps`` with the Kokkos that the PyPI sdist ``symmetrix-xl`` carries. ``$KOKKOS_LAMMPS_BUILD`` names a finished build folder instead. When
there is none, it prints "skipped: no Kokkos LAMMPS" and why, and the tests are skipped.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

from metalff.paths import cache_dir

PROJECT = Path(__file__).parents[2]
VERSION, DEBIAN, KOKKOS = "20260704", "lammps", "symmetrix-xl==0.1.1"
STYLES = """
atom_vec_atomic atom_vec_hybrid pair_lj_cut pair_eam pair_eam_alloy pair_zero pair_hybrid pair_hybrid_overlay fix_nve fix_nvt fix_npt fix_langevin
fix_print fix_pair compute_temp compute_pressure compute_pe compute_pe_atom compute_stress_atom compute_centroid_stress_atom compute_reduce
compute_pair compute_ke min_cg min_fire verlet region_block region_prism dump_custom dump_atom velocity create_box create_atoms read_data write_data
read_restart write_restart rerun set displace_atoms replicate change_box delete_atoms run minimize npair_bin npair_copy npair_halffull npair_skip
npair_trim npair_nsq npair_bin_ghost nstencil_ghost_bin nbin_standard nstencil_bin nbin_multi atom_vec_atomic_kokkos atom_vec_hybrid_kokkos pair_lj_cut_kokkos pair_eam_alloy_kokkos
pair_zero_kokkos pair_hybrid_kokkos pair_hybrid_overlay_kokkos fix_nve_kokkos fix_nvt_kokkos fix_npt_kokkos fix_langevin_kokkos compute_temp_kokkos
min_cg_kokkos verlet_kokkos region_block_kokkos npair_copy_kokkos npair_skip_kokkos npair_trim_kokkos
""".split()
ALWAYS = """
kokkos atom_kokkos atom_map_kokkos atom_vec_kokkos comm_kokkos comm_tiled_kokkos min_kokkos min_linesearch_kokkos neighbor_kokkos neigh_list_kokkos
neigh_bond_kokkos fix_nh_kokkos fix_nh_sphere_kokkos nbin_kokkos npair_kokkos npair_halffull_kokkos domain_kokkos modify_kokkos
rand_pool_wrap_kokkos tune_kokkos
""".split()
"""Files that LAMMPS' build wants whatever the styles are."""


class NoSource(Exception):
    """Why there is nothing to build from, or it does not build: no fault of ours."""


def folder() -> Path:
    return cache_dir() / "kokkos-lammps" / VERSION


def lammps() -> Path | None:
    """The folder of a finished build, if there is one."""
    if given := os.environ.get("KOKKOS_LAMMPS_BUILD"):
        return Path(given)
    return folder() / "build" if (folder() / "finished").exists() else None


def run(*command, **options):
    subprocess.run(list(map(str, command)), check=True, **options)


def tool(name: str) -> str:
    """Of this Python's environment, else of the system."""
    own = Path(sys.prefix) / "bin" / name
    return str(own) if own.exists() else shutil.which(name) or name


def unpacked(scratch: Path) -> Path:
    """The source tree, cut down to what the tests use."""
    if archive := os.environ.get("KOKKOS_LAMMPS_ARCHIVE"):
        with tarfile.open(archive) as tar:
            tar.extractall(scratch, filter="data")
        return next(path.parents[1] for path in scratch.glob("*/src/version.h"))
    source, tree = from_debian(scratch), scratch / "tree"
    trim(source, tree)
    with tarfile.open(sdist(scratch)) as tar:
        tar.extractall(scratch / "sdist", [member for member in tar if "/external/kokkos/" in member.name], filter="data")
    shutil.copytree(next((scratch / "sdist").glob("*/libsymmetrix/external/kokkos")), tree / "lib" / "kokkos")
    return tree


def complete(tree: Path) -> Path:
    """A Kokkos as it is shipped inside other packages lacks folders that its build enters."""
    for name in ("example", "benchmarks"):
        folder = tree / "lib" / "kokkos" / name
        folder.mkdir(exist_ok=True)
        (folder / "CMakeLists.txt").touch()
    return tree


def from_debian(scratch: Path) -> Path:
    """Debian's source package by an apt of its own, which leaves that of the machine as it is."""
    if not shutil.which("apt-get"):
        raise NoSource("KOKKOS_LAMMPS_ARCHIVE names no archive, and there is no apt-get")
    apt = scratch / "apt"
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    known = "\n".join(path.read_text() for path in Path("/etc/apt").glob("sources.list*") if path.is_file())
    known += "\n".join(path.read_text() for path in Path("/etc/apt/sources.list.d").glob("*.sources"))
    mirror = next(iter(re.findall(r"https?://\S*/debian/?(?=\s)", known)), None)
    if not mirror:
        raise NoSource("KOKKOS_LAMMPS_ARCHIVE names no archive, and this is no Debian")
    (apt / "list").write_text(f"deb-src {mirror} sid main\n")
    options = [f"Dir::Etc::sourcelist={apt / 'list'}", "Dir::Etc::sourceparts=-", f"Dir::State::lists={apt / 'lists'}"]
    options += [f"Dir::Cache={apt / 'cache'}", "APT::Sandbox::User=root"]
    arguments = [word for option in options for word in ("-o", option)]
    try:
        run("apt-get", *arguments, "-q", "update", stdout=subprocess.DEVNULL, timeout=300)
        listed = subprocess.run(["apt-get", *arguments, "-qq", "--print-uris", "source", DEBIAN], check=True, capture_output=True, text=True)
        # only the upstream part is needed, which a mirror keeps longer than Debian's own
        (address,) = re.findall(rf"'(\S+/{DEBIAN}_{VERSION}\S*\.orig\.tar\.\w+)'", listed.stdout)
        original = scratch / "lammps.orig.tar"
        with urllib.request.urlopen(address, timeout=60) as stream, open(original, "wb") as file:
            shutil.copyfileobj(stream, file)
    except (subprocess.SubprocessError, ValueError, OSError) as error:
        raise NoSource(f"Debian has the source of LAMMPS {VERSION} no more, or is not reached ({error})") from error
    with tarfile.open(original) as tar:
        tar.extractall(scratch / "debian", filter="data")
    return next(path.parents[1] for path in (scratch / "debian").rglob("src/version.h"))


def sdist(scratch: Path) -> Path:
    try:
        run(sys.executable, "-m", "pip", "-q", "download", "--no-deps", "--no-binary", KOKKOS.partition("=")[0], "-d", scratch, KOKKOS)
    except subprocess.SubprocessError as error:
        raise NoSource(f"the Kokkos of {KOKKOS} cannot be had ({error})") from error
    return next(scratch.glob("symmetrix*.tar.gz"))


def trim(source: Path, target: Path) -> None:
    """A copy of a LAMMPS source tree with the core, the wanted styles and what they include."""
    rooms = ["", "KOKKOS", "MANYBODY", "PLUGIN"]
    where = {}  # file name → path
    for room in rooms:
        for path in sorted((source / "src" / room).glob("*.*")):
            if path.suffix in (".h", ".cpp"):
                where.setdefault(path.name, path)
    text = {name: path.read_text(errors="replace") for name, path in where.items()}
    styles = {n[:-2] for n, t in text.items() if n.endswith(".h") and re.search(r"#if(def|\s+defined).*_CLASS\b", t)}
    stems = {name.rsplit(".", 1)[0] for name in where}
    core = {n.rsplit(".", 1)[0] for n, path in where.items() if path.parent.name == "src"}
    plugin = [n.rsplit(".", 1)[0] for n, path in where.items() if path.parent.name == "PLUGIN"]
    declared = {c: n[:-2] for n, t in text.items() if n.endswith(".h") for c in re.findall(r"^class (\w+)\s*(?::|\{)", t, re.M)}
    keep, todo = set(), [s for s in core - styles if not s.startswith(("style_", "packages_"))] + plugin + ALWAYS + STYLES
    while todo:
        stem = todo.pop()
        if stem in keep or stem not in stems:
            continue
        keep.add(stem)
        for name in (f"{stem}.h", f"{stem}.cpp"):
            headers = re.findall(r'#include\s+"([^"]+)"', text.get(name, ""))
            todo += [header[:-2] for header in headers if header in where]
            if name.endswith(".cpp") and any(header.startswith("style_") for header in headers):  # classes seen through style_*.h
                todo += [declared[c] for c in set(re.findall(r"\b[A-Z]\w+\b", text[name])) & set(declared)]
    for path in (source / "src").iterdir():  # cmake wants the folders of all packages
        if path.is_dir():
            (target / "src" / path.name).mkdir(parents=True, exist_ok=True)
    for name, path in where.items():
        if name.rsplit(".", 1)[0] in keep:
            shutil.copy2(path, target / path.relative_to(source))
    for name in ("cmake", "python", "third_party", "tools/phonon", "src/fmt", "src/nlohmann", "src/STUBS"):
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, symlinks=True, dirs_exist_ok=True)
    for name in ("LICENSE", "README"):
        shutil.copy2(source / name, target / name)


def build_lammps() -> Path:
    if finished := lammps():
        return finished
    place = folder()
    shutil.rmtree(place, ignore_errors=True)
    scratch = place / "scratch"
    scratch.mkdir(parents=True)
    tree = complete(unpacked(scratch)).rename(place / "tree")
    shutil.rmtree(scratch)
    print(f"== building LAMMPS {VERSION} with KOKKOS: some minutes, once", flush=True)
    off = [f"-DWITH_{what}=OFF" for what in ("JPEG", "PNG", "GZIP", "FFMPEG", "CURL")]
    on = [f"-DPKG_{what}=ON" for what in ("KOKKOS", "PLUGIN", "MANYBODY")]
    with open(place / "log", "w") as log:
        options = {"stdout": log, "stderr": subprocess.STDOUT}
        try:
            run(tool("cmake"), "-S", tree / "cmake", "-B", place / "build", "-DCMAKE_CXX_COMPILER=g++", "-DCMAKE_BUILD_TYPE=None",
                "-DCMAKE_CXX_FLAGS=-O1 -w", "-DCMAKE_CXX_STANDARD=20", "-DBUILD_SHARED_LIBS=ON", "-DBUILD_MPI=ON",
                f"-DMPI_CXX_COMPILER={tool('mpicxx')}", "-DBUILD_OMP=ON", "-DKokkos_ENABLE_SERIAL=ON", "-DKokkos_ENABLE_OPENMP=ON",
                "-DBUILD_TOOLS=OFF", *on, *off, **options)  # fmt: skip
            run(tool("cmake"), "--build", place / "build", "-j", "2", **options)
        except subprocess.CalledProcessError as error:
            log.flush()
            print((place / "log").read_text()[-3000:])
            raise NoSource(f"it does not build, see {place / 'log'}") from error
    (place / "finished").touch()
    return place / "build"


def build_plugin() -> Path:
    """The folder of mlffkkplugin.so for that LAMMPS, with the engines of the installed package beside it."""
    import metalff

    build = cache_dir() / "kokkos-plugin"
    run(tool("cmake"), "-S", PROJECT, "-B", build, f"-DPython_EXECUTABLE={sys.executable}", f"-DLAMMPS_BUILD_DIR={lammps()}",
        "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON", stdout=subprocess.DEVNULL)  # fmt: skip
    run(tool("cmake"), "--build", build, "--target", "mlffkkplugin", "-j", "2", stdout=subprocess.DEVNULL)
    folder = build / "plugin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("mlffkkplugin.so", "mlff_kokkos.so"):
        shutil.copy2(build / name, folder)
    (folder / "lib").symlink_to(Path(metalff.__file__).parent / "lib")
    return folder


def plugin() -> Path | None:
    place = cache_dir() / "kokkos-plugin" / "plugin"
    return place if (place / "mlffkkplugin.so").exists() else None


if __name__ == "__main__":
    try:
        build_lammps()
    except NoSource as reason:
        sys.exit(print(f"skipped: no Kokkos LAMMPS: {reason}"))
    build_plugin()
