"""Tasks side by side in processes, and what comes of each."""

import multiprocessing
import signal
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from metalff.errors import MetalffError

TICK = 1.0
"""Longest time between two calls of ``tick``, s."""


def side_by_side(function, tasks: dict, jobs: int, tick=lambda running: None, go_on: Callable[[], bool] = lambda: True):
    """Call ``function(*tasks[key])`` for every key, ``jobs`` at a time; gives (key, result, error) as they come, result or error None.

    Args:
        function: of a module; a process of its own calls it.
        tick: called with the keys that run, at least every ``TICK``.
        go_on: False ends it: what runs is finished, nothing else begins.
    Yields:
        errors are ``MetalffError``; any other exception of the function is raised here, after the processes have been ended. So are they when the caller stops.
    """
    waiting, running = dict(tasks), {}
    # Ctrl-C is for this process alone, which ends the others
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        while (waiting and go_on()) or running:
            while waiting and len(running) < jobs and go_on():
                key = next(iter(waiting))
                running[pool.submit(function, *waiting.pop(key))] = key
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
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def one_by_one(function, tasks: dict, tick=lambda running: None):
    """``side_by_side`` in this process, for short tasks."""
    for key, arguments in tasks.items():
        tick([key])
        try:
            yield key, function(*arguments), None
        except MetalffError as failure:
            yield key, None, failure
