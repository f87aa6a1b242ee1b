"""Jobs by Parsl: on nodes of SLURM, PBS or Kubernetes, or by workers on this machine; the folder of results is the same.

The manager submits, looks and keeps ``sweep.json``; each worker runs one job at a time and writes into the job's folder, which all nodes must see.
A worker that dies loses nothing: the job is submitted again and goes on from its newest restart file, once no program writes to it any more.
"""

import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from metalff.errors import MetalffError, need_extra
from metalff.sweep.attempt import GRACE, Outcome, conclude, launch, settle
from metalff.sweep.job import JobFolder
from metalff.sweep.plan import ParslSettings, Plan
from metalff.sweep.queue import CANCEL, Queue

LABEL = "metalff"

RUN_DIR = ".parsl"
"""Parsl's own logs, below the folder of results."""

POLL = 0.2
"""Seconds between looks at what workers do."""

SCRIPTS = str(Path(sys.prefix) / "bin")
"""Where the programs of Parsl are."""

LIVES = 4
"""Workers that a job may lose before it counts as killed."""


@dataclass
class Submitted:
    """A job with Parsl: its future, and what progress asks for."""

    folder: JobFolder
    future: object
    first_step: int
    started: float = field(default_factory=time.monotonic)


def run_jobs(plan: Plan, queue: Queue, out: Path, progress, config_file=None) -> bool:
    """As ``run.run_jobs``, by Parsl.

    Args:
        config_file: Python file with ``config``; None: of the plan's ``parsl``.
    Raises:
        MetalffError: a bad configuration, or the disk is full.
    """
    import parsl

    out = Path(out).absolute()
    os.environ["PATH"] = SCRIPTS + os.pathsep + os.environ.get("PATH", "")  # Parsl starts programs of its own by name
    config = config_of_file(config_file) if config_file else config_of(plan.parsl, out)
    kernel = parsl.dataflow.dflow.DataFlowKernel(config)
    try:
        return _Manager(plan, queue, out, progress, parsl.python_app(work, data_flow_kernel=kernel)).run()
    except KeyboardInterrupt:
        (out / CANCEL).touch()  # workers look at it
        time.sleep(min(GRACE, 2.0))
        raise
    finally:
        kernel.cleanup()
        for keys in (out / RUN_DIR).glob("*/*/certificates"):
            shutil.rmtree(keys, ignore_errors=True)  # of this run's connections alone


class _Manager:
    def __init__(self, plan: Plan, queue: Queue, out: Path, progress, app):
        self.plan, self.queue, self.out, self.progress, self.app = plan, queue, out, progress, app
        self.lost: dict[str, int] = {}
        self.submitted: list[Submitted] = []

    def run(self) -> bool:
        while True:
            if (self.out / CANCEL).exists():
                self.queue.drop_waiting()
            while (folder := self.queue.take()) is not None:
                self._submit(folder)
            if not (self.submitted or self.queue.waiting):
                break
            self.progress.update([item for item in self.submitted if item.folder.record()["status"] == "running"])
            time.sleep(POLL)
            for item in [item for item in self.submitted if item.future.done()]:
                self.submitted.remove(item)
                self._collect(item)
        self.progress.update([])
        return self.queue.all_finished()

    def _submit(self, folder: JobFolder) -> None:
        self.submitted.append(Submitted(folder, self.app(str(self.out), self.plan, folder.job), folder.step()))

    def _collect(self, item: Submitted) -> None:
        from parsl.errors import ParslError
        from parsl.executors.errors import ExecutorError

        error, folder = item.future.exception(), item.folder
        if error is None:
            self.queue.put_back(folder, Outcome(*item.future.result()))
            return
        if isinstance(error, MetalffError):
            raise error
        if not isinstance(error, (ParslError, ExecutorError)) and not type(error).__name__.endswith("Lost"):
            sentence = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self.queue.put_back(folder, Outcome("failed", folder.fail("error", sentence), sentence))
            return
        lost = self.lost[folder.job.id] = self.lost.get(folder.job.id, 0) + 1
        if lost < LIVES and not (self.out / CANCEL).exists():
            self.progress.line(f"{folder.job.id}: its worker was lost; another one goes on from the newest restart file")
            self._submit(folder)
            return
        sentence = f"{lost} workers of Parsl were lost with it ({type(error).__name__})"
        self.queue.put_back(folder, Outcome("failed", folder.fail("killed", sentence), sentence))


def work(out: str, plan: Plan, job) -> tuple:
    """One job, in a worker: gives the fields of an ``Outcome``.

    Where another program still writes to the job's folder, as one whose worker was killed, its end is waited for.
    """
    import time
    from dataclasses import astuple
    from pathlib import Path

    from metalff.sweep.job import JobFolder
    from metalff.sweep.parsl_executor import worked

    return astuple(worked(Path(out), plan, JobFolder(Path(out), job), time.sleep))


def worked(out: Path, plan: Plan, folder: JobFolder, sleep) -> Outcome:
    """Run a job to its end, its failure, or until the sweep is cancelled."""
    lock = _lock_of(folder, out, sleep)
    if lock is None:
        return Outcome("cancelled", folder.cancel())
    try:
        if (found := folder.record())["status"] == "finished" and found["hash"] == folder.job.hash:
            return Outcome("finished", found)
        if folder.segments() and folder.is_complete():
            return settle(folder, "", out)
        attempt = launch(plan, folder, [lock])
        try:
            while not attempt.is_over():
                if (out / CANCEL).exists():
                    attempt.ask_to_stop("cancelled")
                sleep(POLL)
        finally:
            if attempt.process.poll() is None:  # the worker is being ended
                attempt.signal(15)
        return conclude(attempt, out)
    finally:
        os.close(lock)


def _lock_of(folder: JobFolder, out: Path, sleep) -> int | None:
    """The lock of a job's folder, waited for; None where the sweep was cancelled."""
    while True:
        if (out / CANCEL).exists():
            folder.ask_to_stop()  # also what a killed worker has left
            return None
        if (descriptor := folder.take_lock()) is not None:
            return descriptor
        sleep(POLL)


def config_of(settings: ParslSettings, out: Path):
    """A ``parsl.config.Config`` with one HighThroughputExecutor."""
    from parsl.addresses import address_by_hostname
    from parsl.config import Config
    from parsl.executors import HighThroughputExecutor

    local = settings.provider == "local"
    executor = HighThroughputExecutor(
        label=LABEL,
        address=settings.address or ("127.0.0.1" if local else address_by_hostname()),
        loopback_address="127.0.0.1",
        provider=provider_of(settings),
        cores_per_worker=settings.cores_per_worker,
        max_workers_per_node=settings.max_workers or (len(os.sched_getaffinity(0)) if local else float("inf")),
        heartbeat_period=5,
        heartbeat_threshold=30,
        worker_logdir_root=str(out / RUN_DIR),
    )
    return Config(executors=[executor], run_dir=str(out / RUN_DIR), retries=0, strategy="simple" if settings.blocks > 1 else "none", usage_tracking=0)


def provider_of(settings: ParslSettings):
    """The provider of Parsl, with what it understands of the settings.

    Raises:
        MetalffError: something that it needs is missing, or something is given that it does not know.
    """
    from parsl import providers

    # nodes see the same folders: this environment is that of workers, too
    init = settings.worker_init or f'export PATH="{SCRIPTS}:$PATH"'
    common = {"init_blocks": 1, "min_blocks": 0 if settings.blocks > 1 else 1, "max_blocks": settings.blocks}
    batch = {"nodes_per_block": settings.nodes, "walltime": settings.walltime, "scheduler_options": settings.scheduler_options, "worker_init": init}
    optional = {name: value for name in ("account", "partition", "queue") if (value := getattr(settings, name)) is not None}
    known = {"local": (), "slurm": ("account", "partition"), "pbspro": ("account", "queue"), "kubernetes": ()}[settings.provider]
    if strange := [name for name in optional if name not in known]:
        raise MetalffError(f"parsl.{strange[0]} means nothing to the provider {settings.provider}; it knows {', '.join(known) or 'neither'}; leave it out")
    if settings.provider == "local":
        return providers.LocalProvider(**common, worker_init=init)
    if settings.provider == "slurm":
        from parsl.launchers import SrunLauncher

        return providers.SlurmProvider(**common, **batch, **optional, launcher=SrunLauncher())
    if settings.provider == "pbspro":
        from parsl.launchers import MpiExecLauncher, SingleNodeLauncher

        return providers.PBSProProvider(**common, **batch, **optional, launcher=MpiExecLauncher() if settings.nodes > 1 else SingleNodeLauncher())
    if not settings.image:
        raise MetalffError("parsl.image is missing: kubernetes starts containers, so name an image that holds MetalFF, Parsl and LAMMPS")
    need_extra("parsl.provider: kubernetes", "parsl", "kubernetes")
    return providers.KubernetesProvider(
        image=settings.image,
        namespace=settings.namespace or "default",
        persistent_volumes=[tuple(pair) for pair in settings.volumes],
        worker_init=settings.worker_init,
        nodes_per_block=settings.nodes,
        **common,
    )


def config_of_file(path):
    """``config`` of a Python file that the user named on the command line; the file is executed.

    Raises:
        MetalffError: it does not run, or has no such object.
    """
    import runpy

    from parsl.config import Config

    if not Path(path).is_file():
        raise MetalffError(f"--parsl-config {path}: there is no such file")
    try:
        found = runpy.run_path(str(path)).get("config")
    except Exception as error:
        raise MetalffError(f"--parsl-config {path} does not run: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not isinstance(found, Config):
        raise MetalffError(f"--parsl-config {path} must define config, a parsl.config.Config")
    return found
