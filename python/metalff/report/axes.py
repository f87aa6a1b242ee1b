"""Logarithmic axes with plain numbers."""

CROWDED = 1000
"""Ratio of the ends of a logarithmic axis above which it names powers of ten alone."""


def plain(side) -> None:
    """1, 2, 5, 10, … on a logarithmic axis (``axes.xaxis`` …), the powers of ten alone where that would be too many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = side.get_view_interval()
    side.set_major_locator(LogLocator(subs=(1,) if high > CROWDED * low else (1, 2, 5)))
    side.set_major_formatter("{x:g}")
    side.set_minor_formatter(NullFormatter())
