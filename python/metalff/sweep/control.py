"""Ask the manager of a folder to stop, from another process."""

import time
from pathlib import Path

from metalff.paths import is_locked
from metalff.sweep.queue import CANCEL
from metalff.sweep.record import NAME, read_record

POLL = 0.2


def cancel(out, wait: bool = True, tick=lambda seconds: None) -> bool:
    """Ask whoever runs jobs in a folder to stop: running programs write a restart file, nothing new begins.

    Args:
        wait: until it has stopped.
        tick: called with the seconds that have passed.
    Returns:
        whether anybody was at work.
    Raises:
        MetalffError: the folder holds no sweep.
    """
    out = Path(out)
    read_record(out / NAME)
    if not is_locked(out / ".lock"):
        return False
    (out / CANCEL).touch()
    start = time.monotonic()
    while wait and is_locked(out / ".lock"):
        if not (out / CANCEL).exists() and time.monotonic() - start > POLL:
            break  # it was taken away by the manager that ended
        tick(time.monotonic() - start)
        time.sleep(POLL)
    return True
