"""Portable payload → shared library for this machine, once, in the user's cache.

The engine (C++) looks into the cache itself and starts ``python -m metalff.compiled FILE`` when an entry is missing.
An entry is a directory named by a key of all that the library depends on; it is built beside its final place, replays
the artefact's self-test, and is renamed when that passed. A lock per key makes concurrent callers wait, not compile.
"""

import argparse
import errno
import fcntl
import math
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from metalff.artifact import Artifact, open_artifact, read_manifest
from metalff.errors import MetalffError
from metalff.paths import cache_dir, private_folder, sync, umask
from metalff.selftest import TOLERANCE, replay

KEPT = "torch"
"""Folder of the cache for what torch keeps."""

COMPILED = 0.05
"""Seconds of a processor per node of a program's graph, roughly."""


def compile_artifact(path, precision: str = "double", device: str = "cpu", say=print) -> Path:
    """Directory of the cache entry for an artefact, compiling it when this machine has not yet done so.

    Raises:
        MetalffError: no C++ compiler, no such device, the compiler failed, the compiled model fails the artefact's
            self-test, the cache cannot be written, or it may be written by others.
    """
    from metalff import _engine

    artifact = open_artifact(path)
    if not artifact.has_selftest():  # before minutes of work
        raise MetalffError(f"'{path}' has no self-test, or one without structures, which proves nothing: deploy the model again")
    try:
        opened = _engine.Artifact.open(str(path))
        entry = cache_dir() / "compiled" / _engine.cache_key(opened, precision, device)
        if _engine.cached_programs(opened, precision, device):
            return entry
        payload = _engine.payload_name(opened, precision)
    except _engine.EngineError as error:
        raise MetalffError(str(error)) from error
    try:
        _make_entry(artifact, precision, device, payload, entry, say)
    except OSError as error:
        raise MetalffError(
            f"the cache of compiled models {entry.parent} cannot be written ({error.strerror or error}): make room "
            "there, or set METALFF_CACHE to a directory that you may write"
        ) from error
    return entry


def prepare(path, say=print) -> None:
    """Compile what pair_style mlff and the calculator would compile at the model's first use here: nothing where the native
    engine runs it."""
    if not any(name.startswith("native/") for name in read_manifest(path).payloads):
        compile_artifact(path, say=say)


def _make_entry(artifact: Artifact, precision: str, device: str, payload: str, entry: Path, say) -> None:
    private_folder(entry.parent)
    with open(entry.parent / f"{entry.name}.lock", "w", opener=_no_link) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (entry / "ready").exists():  # another process was first
            return
        for stale in entry.parent.glob(f"{entry.name}.*/"):  # of a process that was killed
            shutil.rmtree(stale, ignore_errors=True)
        work = Path(tempfile.mkdtemp(dir=entry.parent, prefix=f"{entry.name}."))
        try:
            _compile(artifact, payload, device, work, say)
            try:
                failed = replay(artifact, precision, device, str(work))
            except MetalffError as error:
                raise MetalffError(f"'{artifact.path}' fails its self-test on this machine: {error}; do not use it") from error
            if not failed.passed:
                raise MetalffError(
                    f"'{artifact.path}' fails its self-test on this machine ({failed.describe()}, tolerance "
                    f"{TOLERANCE[precision]:g}): do not use it here; report the machine, torch and g++ versions"
                )
            (work / "ready").write_text(str(artifact.path))
            for path in (work, *work.iterdir()):  # as the umask has it, but written by nobody else
                path.chmod((0o777 if path.is_dir() else 0o666) & ~umask() & ~0o022)
                sync(path)  # "ready" says that the programs are whole, also after a power failure
            shutil.rmtree(entry, ignore_errors=True)
            os.replace(work, entry)
            sync(entry.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _no_link(path, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o644)


def _compile(artifact: Artifact, payload: str, device: str, work: Path, say) -> None:
    compiler = os.environ.get("CXX", "g++")
    if not shutil.which(compiler):
        raise MetalffError(
            f"'{artifact.path}' must be compiled once for this machine, but there is no C++ compiler '{compiler}': "
            "install one (Debian/Ubuntu: apt-get install g++), or set CXX"
        )
    if device != "cpu" and not _has_device(device):
        raise MetalffError(f"device '{device}' is not available to torch on this machine: use device cpu")
    names = program_names(artifact, payload)
    workers = min(len(names), len(os.sched_getaffinity(0)))
    minutes = math.ceil(forecast(artifact, payload) / workers / 60)
    say(f"metalff: first use of {artifact.path.name} on this machine: compiling {payload}, about {minutes} min ...")
    started = time.monotonic()
    kept = cache_dir() / KEPT
    private_folder(kept)
    if kept.stat().st_uid != os.getuid() or kept.stat().st_mode & 0o022:  # of a cache that others fill
        kept = work / "inductor"
    context = multiprocessing.get_context("spawn")
    with _Heartbeat(say, started):
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            jobs = [pool.submit(_compile_program, artifact, payload, name, device, work, str(kept)) for name in names]
            for job in jobs:
                job.result()
        shutil.rmtree(work / "inductor")
    say(f"metalff: compiled in {time.monotonic() - started:.0f} s, kept in {cache_dir() / 'compiled'}")


def _keep_in(folder: str) -> None:
    """Of this process, what torch keeps for later compilations: precompiled headers (300 MB), and which instructions compiler and processor have.

    Its own place is one in /tmp that others can make first; and it would find the instructions out anew for each program, in a quarter of a minute.
    """
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.tempdir = folder
    import torch._inductor.codecache  # noqa: F401 takes the place of the headers from tempfile
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list

    tempfile.tempdir = None
    valid_vec_isa_list()


def _compile_program(artifact: Artifact, payload: str, name: str, device: str, work: Path, kept: str) -> None:
    """Leaves ``{name}.so`` in ``work``; in a process of its own, for ``_keep_in``."""
    import torch

    options = {
        # one thread per MPI rank: serial kernels, no OpenMP regions
        "cpp.threads": 1,
        # the compiler may fuse a*b+c; the self-test bounds what that changes
        "cpp.enable_floating_point_contract_flag": "fast",
        # their hash is taken by openssl
        "aot_inductor.precompile_headers": shutil.which("openssl") is not None,
    }
    package = work / f"{name}.pt2"
    cache = work / "inductor" / name
    cache.mkdir(parents=True)
    default = torch.get_default_dtype()
    try:
        # as in the export: the compiler infers types anew, and an integer times a float constant takes the default
        precision = artifact.manifest.payloads[payload].precision
        torch.set_default_dtype(torch.float64 if precision == "double" else torch.float32)
        _keep_in(kept)
        import torch._inductor
        from torch._inductor.runtime.cache_dir_utils import temporary_cache_dir

        # what a killed process leaves there, nobody reads
        with warnings.catch_warnings(), temporary_cache_dir(str(cache)):
            warnings.simplefilter("ignore")
            program = load_program(artifact, payload, name)
            if device != "cpu":
                program = torch.export.passes.move_to_device_pass(program, device)
            torch._inductor.aoti_compile_and_package(program, package_path=str(package), inductor_configs=options)
        with zipfile.ZipFile(package) as archive:
            library = next(n for n in archive.namelist() if n.endswith(".so"))
            (work / f"{name}.so").write_bytes(archive.read(library))
        package.unlink()
    except (OSError, MetalffError):
        raise
    except Exception as error:
        if os.strerror(errno.ENOSPC) in str(error):  # said by the compiler
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise MetalffError(f"compiling '{artifact.path}' failed: {reason}") from None  # must survive the way home
    finally:
        torch.set_default_dtype(default)


def _has_device(device: str) -> bool:
    import torch

    return torch.cuda.is_available() and torch.device(device).index < torch.cuda.device_count()


def program_names(artifact: Artifact, payload: str) -> list[str]:
    """Names of the programs in a payload: see ``deploy.contract.export_model``; raises like ``load_program``."""
    from metalff.deploy import program

    return _read(artifact, payload, program.names)


def forecast(artifact: Artifact, payload: str) -> float:
    """Seconds of a processor that compiling will take, roughly: by the size of the programs' graphs."""
    from metalff.deploy import program

    return COMPILED * sum(_read(artifact, payload, program.sizes).values())


def load_program(artifact: Artifact, payload: str, name: str):
    """One ``torch.export.ExportedProgram`` of a payload.

    Raises:
        MetalffError: the payload is damaged, or asks for what no program may do.
    """
    from metalff.deploy import program

    return _read(artifact, payload, lambda data: program.load(data, name))


def _read(artifact: Artifact, payload: str, what):
    from metalff.deploy.program import ProgramError

    try:
        return what(artifact.read(payload))
    except ProgramError as error:
        raise MetalffError(f"payload {payload} of '{artifact.path}' is refused: {error}; deploy the model again") from error


class _Heartbeat:
    """A line every 20 s while the compiler works."""

    def __init__(self, say, started):
        self._say, self._started, self._done = say, started, threading.Event()

    def _beat(self):
        while not self._done.wait(20):
            self._say(f"metalff: still compiling, {time.monotonic() - self._started:.0f} s ...")

    def __enter__(self):
        threading.Thread(target=self._beat, daemon=True).start()

    def __exit__(self, *_):
        self._done.set()


def main() -> None:
    """``python -m metalff.compiled FILE``: what the engine runs."""
    parser = argparse.ArgumentParser(prog="metalff.compiled")
    parser.add_argument("file")
    parser.add_argument("--precision", choices=["double", "single"], default="double")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    try:
        compile_artifact(args.file, args.precision, args.device, lambda line: print(line, flush=True))
    except (MetalffError, OSError) as error:
        sys.exit(f"metalff: error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
