"""The one exception that users see, and sentences that several rooms say."""

import importlib.util


class MetalffError(Exception):
    """Something the user can mend. The message is one clear sentence: what is wrong and what to do."""


def need_torch(purpose: str) -> None:
    """For what only the extra ``torch`` brings, to be called before any work.

    Raises:
        MetalffError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MetalffError(f"{purpose} needs torch, which is not installed here; run: pip install 'metalff[torch]'")


def nearest(word: str, valid) -> str:
    """`` (did you mean "x"?)`` for the closest valid name, or an empty string."""
    import difflib

    match = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""
