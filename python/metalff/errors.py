"""The one exception that users see."""


class MetalffError(Exception):
    """Something the user can mend. The message is one clear sentence: what is wrong and what to do."""


def nearest(word: str, valid) -> str:
    """`` (did you mean "x"?)`` for the closest valid name, or an empty string."""
    import difflib

    match = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.5)
    return f' (did you mean "{match[0]}"?)' if match else ""
