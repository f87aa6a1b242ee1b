"""Where installed files, the cache and the environments are; where results can be written; writes that are whole or not at all, and last."""

import errno
import fcntl
import os
import re
import sys
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path

from metalff.errors import MetalffError

PACKAGE = Path(__file__).resolve().parent
SOURCE = PACKAGE.parents[1]

PART = re.compile(r"\..*\.(?P<system>[0-9a-f]{8})-(?P<pid>\d+)\.\w+\.part", re.DOTALL)
"""Temporary file of a write: the running system and the process that writes it are in its name."""

STALE = 86400.0
"""Seconds without a change after which the temporary file of another machine, or from before a restart, is left over."""


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
    there = next(parent for parent in (path, *path.absolute().parents) if parent.exists() or parent.is_symlink())
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


def sync(path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; a file system that cannot do this for folders is left alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            error.filename = str(path)
            raise
    finally:
        os.close(descriptor)


def make_folder(path) -> None:
    """Make a folder and those above it, names on the disk."""
    path = Path(path)
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def lock(descriptor: int, path, wait: bool = False) -> None:
    """Lock an open file for this process and those that inherit it.

    Args:
        path: of the file or its folder, for the sentence.
    Raises:
        BlockingIOError: another process has it, and ``wait`` is False.
        MetalffError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        raise MetalffError(
            f"the file system of {path} gives no locks ({error.strerror}), so two processes could write to it at once; choose a folder on another one"
        ) from None


def is_locked(path) -> bool:
    """Whether a process holds the lock of a file; nothing is written."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)


@contextmanager
def atomic_write(path, mode: str = "w"):
    """Open a temporary file beside ``path`` and rename it into place when the block ends without an error.

    After the block the content and its name are on the disk, in this order: what is written or removed next finds them there even after a power failure.
    """
    path = Path(path)
    make_folder(path.parent)
    with _renamed(path) as (descriptor, _), os.fdopen(descriptor, mode) as stream:
        yield stream


@contextmanager
def atomic_path(path):
    """``atomic_write`` for libraries that open files themselves: gives the path of the temporary file."""
    with _renamed(Path(path)) as (descriptor, temporary):
        os.close(descriptor)
        yield temporary


@contextmanager
def atomic_hdf5(path):
    """``atomic_write`` of an ``h5py.File``.

    Raises:
        OSError: the system's, such as that of a full disk, which HDF5 hides in a text of its own.
    """
    import h5py

    with atomic_path(path) as temporary:
        try:
            with h5py.File(temporary, "w") as file:
                yield file
        except (OSError, RuntimeError) as error:
            said = re.search(r"errno = (\d+)", str(error))
            number = int(said[1]) if said else getattr(error, "errno", None) or errno.EIO
            raise OSError(number, os.strerror(number), str(path)) from error


@contextmanager
def _renamed(path: Path):
    """Descriptor and path of a temporary file, on the disk under the name ``path`` when the block ends without an error.

    Raises:
        MetalffError: a folder is in its place.
    """
    if path.is_dir() and not path.is_symlink():
        raise MetalffError(f"{path} is a folder, where a file of this name is to be written; move it away")
    _remove_stale(path.parent)
    prefix = f".{os.fsdecode(os.fsencode(path.name)[:150])}.{_system()}-{os.getpid()}."
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
    try:
        yield descriptor, Path(temporary)
        sync(temporary)
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and not error.filename:
            error.filename = str(path)
        raise


_looked_at: set[str] = set()


def _remove_stale(folder: Path) -> None:
    """Once per folder: temporary files whose writer was killed go."""
    if (name := os.path.abspath(folder)) in _looked_at:
        return
    _looked_at.add(name)
    for entry in os.scandir(folder):
        try:
            if (said := PART.fullmatch(entry.name)) and _is_stale(entry, said["system"], int(said["pid"])):
                os.unlink(entry)
        except OSError:  # gone, or of somebody else
            continue


def _is_stale(entry: os.DirEntry, system: str, pid: int) -> bool:
    if system != _system():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        pass
    return False


def _system() -> str:
    """The running system to which process numbers belong: a start of a machine, or a container on it."""
    try:
        said = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    except OSError:
        said = str(os.uname())
    return f"{zlib.crc32(said.encode()):08x}"


def plugin_directory() -> str:
    """Entry point ``lammps.plugins``: where the stock ``lmp`` finds ``mlffplugin.so``."""
    name_python()
    return str(PACKAGE / "lib")


def name_python() -> None:
    """Tell the engine, through ``METALFF_PYTHON``, which Python compiles models on first use: this one."""
    os.environ.setdefault("METALFF_PYTHON", sys.executable)
