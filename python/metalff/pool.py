"""Tasks side by side in processes, and what comes of each."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for_any

from metalff.errors import MetalffError

TICK = 1.0
"""Longest time between two calls of ``tick``, s."""

GRACE = 5.0
"""Seconds that a process gets to end its own children after SIGTERM."""


def side_by_side(function, tasks, jobs: int, tick=lambda running: None, go_on: Callable[[], bool] = lambda: True, ahead: int = 0):
    """Call ``function(*tasks[key])`` for every key, ``jobs`` at a time; gives (key, result, error) as they come, result or error None.

    Args:
        function: of a module; a process of its own calls it.
        tasks: arguments by key, or pairs of both that are made while others run.
        ahead: tasks that wait for the next free process, where making one takes time.
        tick: called with the keys that run, at least every ``TICK``.
        go_on: False ends it: what runs is finished, nothing else begins.
    Yields:
        errors are ``MetalffError``; any other exception of the function is raised here, after the processes have been ended. So are they when the caller stops.
    """
    waiting, running, over = iter(tasks.items() if isinstance(tasks, dict) else tasks), {}, False
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin)
    try:
        while True:
            while not over and len(running) < jobs + ahead and go_on():
                if (task := next(waiting, None)) is None:
                    over = True
                else:
                    running[pool.submit(_call, function, *task[1])] = task[0]
            if not running:
                return
            tick(list(running.values()))
            for future in wait(running, timeout=TICK, return_when=FIRST_COMPLETED).done:
                key = running.pop(future)
                try:
                    result, error = future.result(), None
                except MetalffError as failure:
                    result, error = None, failure
                except BrokenProcessPool:
                    raise MetalffError(
                        f"a process was ended from outside while {key} ran, as the system does when the memory is full; use fewer --jobs"
                    ) from None
                yield key, result, error
    except BaseException:
        _end(list((pool._processes or {}).values()))
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """In a process of the pool: Ctrl-C is for the one that began it, which ends the others; when it does, theirs end too."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """The process ends when the one that began it was killed, which closes nothing that it waits for."""
    wait_for_any([multiprocessing.parent_process().sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def _call(function, *arguments):
    """The process ends when it is told to while the function runs; the executor alone would let it go on."""
    try:
        return function(*arguments)
    except SystemExit as end:
        os._exit(end.code)


def _end(processes) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
    finally:
        for process in processes:
            process.kill()


def one_by_one(function, tasks: dict, tick=lambda running: None):
    """``side_by_side`` in this process, for short tasks."""
    for key, arguments in tasks.items():
        tick([key])
        try:
            yield key, function(*arguments), None
        except MetalffError as failure:
            yield key, None, failure
