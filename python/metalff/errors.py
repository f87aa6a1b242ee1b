"""The one exception that users see, and sentences that several rooms say."""

import importlib
import importlib.util

CLOSE = 0.5
"""Least likeness of a name that is suggested."""


class MetalffError(Exception):
    """Something the user can mend. The message is one clear sentence: what is wrong and what to do."""


def need_torch(purpose: str) -> None:
    """For what only the extra ``torch`` brings, to be called before any work.

    Raises:
        MetalffError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise MetalffError(f"{purpose} needs torch, which is not installed here; run: pip install 'metalff[torch]'")


def need_extra(purpose: str, extra: str, *packages: str) -> None:
    """For what only an extra of MetalFF brings, to be called before any work.

    Args:
        packages: as they are imported, such as ``skimage.measure``.
    Raises:
        MetalffError: one of them is not installed, or cannot be imported.
    """
    roots = {name: name.partition(".")[0] for name in packages}
    missing = list(dict.fromkeys(root for root in roots.values() if importlib.util.find_spec(root) is None))
    if missing:
        raise MetalffError(f"{purpose} needs {' and '.join(missing)}, not installed here; run: pip install 'metalff[{extra}]'")
    for name, root in roots.items():
        try:
            importlib.import_module(name)
        except Exception as error:  # compiled for another numpy it is a ValueError or an AttributeError
            said = " ".join(str(error).split()) or type(error).__name__
            raise MetalffError(
                f"{purpose} needs {root}, which is installed but cannot be imported ({said}); run: pip install --force-reinstall 'metalff[{extra}]'"
            ) from None


def nearest(word: str, valid) -> str:
    """`` (did you mean "x"?)`` for the closest valid name, or an empty string. Capitals do not count, and of names such as ``Cu/eam`` every part must be close."""
    known = [name for name in valid if name.count("/") == word.count("/")]
    best = max(known, key=lambda name: _likeness(word, name), default=None)
    return f' (did you mean "{best}"?)' if best is not None and _likeness(word, best)[0] >= CLOSE else ""


def _likeness(word: str, name: str) -> tuple[float, float, float]:
    """That of the worst part and of the whole, between 0 and 1; then with capitals."""
    import difflib

    pairs = [*zip(word.casefold().split("/"), name.casefold().split("/")), (word.casefold(), name.casefold()), (word, name)]
    *parts, whole, exact = (difflib.SequenceMatcher(None, name, word).ratio() for word, name in pairs)
    return min(parts), whole, exact
