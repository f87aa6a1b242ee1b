"""Where installed files, the cache and the environments are; where results can be written; atomic writes."""

import errno
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from metalff.errors import MetalffError

PACKAGE = Path(__file__).resolve().parent
SOURCE = PACKAGE.parents[1]


def shared(*parts: str) -> Path:
    """A file that ships with MetalFF (``potentials/…``, ``lammps_inputs/…``), installed or in the source tree."""
    installed = PACKAGE / "share"
    return (installed if installed.is_dir() else SOURCE).joinpath(*parts)


def cache_dir() -> Path:
    """``$METALFF_CACHE``, else ``$XDG_CACHE_HOME/metalff``, else ``~/.cache/metalff``."""
    if "METALFF_CACHE" in os.environ:
        return Path(os.environ["METALFF_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metalff"


def umask() -> int:
    """The permissions that this process takes away from what it makes."""
    found = os.umask(0)
    os.umask(found)
    return found


def private_folder(path: Path) -> None:
    """Make a folder and those above it, each as the umask has it, but writable by its owner alone."""
    if path.is_dir():
        return
    private_folder(path.parent)
    try:
        path.mkdir(mode=0o755)
    except FileExistsError as error:
        if not path.is_dir():  # else another process was first
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path)) from error


def data_dir() -> Path:
    """``$METALFF_HOME``, else ``$XDG_DATA_HOME/metalff``, else ``~/.local/share/metalff``."""
    if "METALFF_HOME" in os.environ:
        return Path(os.environ["METALFF_HOME"])
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "metalff"


def check_file(path: Path, example: str) -> Path:
    """``path`` if a file can be written there, known before the work begins.

    Raises:
        MetalffError: a folder is there, there is no folder for it, or nothing can be written in that.
    """
    path = Path(path)
    if path.is_dir():
        raise MetalffError(f"{path} is a folder; give the name of a file such as {example}")
    if not path.parent.is_dir():
        raise MetalffError(f"there is no folder {path.parent} to write {path.name} in; make it, or choose another --out")
    _try(path.parent)
    return path


def check_folder(path: Path) -> Path:
    """``path`` if it is a folder where files can be written, or can be made one.

    Raises:
        MetalffError: a file is there or on the way, or nothing can be written.
    """
    path = Path(path)
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise MetalffError(f"{there} is not a folder; choose another --out")
    _try(there)
    return path


def _try(folder: Path) -> None:
    """Write, and leave nothing behind."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise MetalffError(f"nothing can be written in {folder} ({error.strerror}); choose another --out") from None


@contextmanager
def atomic_write(path, mode: str = "w"):
    """Open a temporary file beside ``path`` and rename it into place when the block ends without an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fd, tmp = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, mode) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(tmp, 0o666 & ~umask())
        os.replace(tmp, path)
    except BaseException:
        Path(tmp).unlink(missing_ok=True)
        raise


@contextmanager
def atomic_path(path):
    """The path of a temporary file beside ``path``, for libraries that open files themselves; renamed into place when the block ends without an error."""
    path = Path(path)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(temporary)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def plugin_directory() -> str:
    """Entry point ``lammps.plugins``: where the stock ``lmp`` finds ``mlffplugin.so``."""
    name_python()
    return str(PACKAGE / "lib")


def name_python() -> None:
    """Tell the engine, through ``METALFF_PYTHON``, which Python compiles models on first use: this one."""
    os.environ.setdefault("METALFF_PYTHON", sys.executable)
