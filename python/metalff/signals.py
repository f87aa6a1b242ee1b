"""Ctrl-C, SIGTERM and SIGHUP: acknowledged at once, then the command ends in order."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, what a batch system sends at the time limit, and what a terminal sends when it goes."""

TOGETHER = 0.5
"""Seconds within which several signals are one: batch systems and terminals send two."""

PATIENCE = 2.0
"""Seconds after a second signal until a computation in a library, which cannot be interrupted, is cut off."""

AGAIN = 0.05
"""Seconds until a signal that Python has lost is raised again."""


class Ending:
    """What came; ``number`` is the first signal, or None."""

    def __init__(self):
        self.number: int | None = None
        self.since = 0.0
        self.taken = 0
        self.again: threading.Timer | None = None

    @property
    def status(self) -> int:
        """Exit status of a command that a signal ended, as shells have it."""
        return 128 + (self.number or signal.SIGINT)

    def _take(self, number: int, frame) -> None:
        if self.taken and time.monotonic() - self.since < TOGETHER:
            return
        if not self.taken:
            self.number, self.since = number, time.monotonic()
        self.taken += 1
        raise KeyboardInterrupt

    def _lost(self, unraisable) -> bool:
        """Whether Python has swallowed what ``_take`` raised, for it was within a destructor or a callback; then it comes again, a little later."""
        if not (self.taken and issubclass(unraisable.exc_type, KeyboardInterrupt)):
            return False
        self.taken -= 1
        # a real signal, for it must also wake what waits
        self.again = threading.Timer(AGAIN, signal.pthread_kill, (threading.main_thread().ident, self.number))
        self.again.daemon = True
        self.again.start()
        return True

    def _watch(self, reader: int) -> None:
        """In a thread of its own, which goes on while the main one is in a library: Python calls ``_take`` only after that."""
        first = None
        while came := os.read(reader, 1):
            number, now = came[0], time.monotonic()
            if number not in ENDING:
                continue
            if first is None:
                first = now
                os.write(2, f"\nmetalff: stopping ({signal.Signals(number).name}); once more to stop at once\n".encode())
            elif now - first > TOGETHER:
                time.sleep(PATIENCE)
                if not self.taken:
                    os._exit(128 + number)


@contextmanager
def ending():
    """Within the block the signals of ``ENDING`` raise ``KeyboardInterrupt``; one that was ignored, as by ``nohup``, stays so."""
    found, before = Ending(), {}
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, found._take)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None if found._lost(unraisable) else hook(unraisable)
    awake = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=found._watch, args=(reader,), daemon=True).start()
    try:
        yield found
    finally:
        signal.set_wakeup_fd(awake)
        sys.unraisablehook = hook
        if found.again:
            found.again.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writer)
        sys.stderr.flush()
