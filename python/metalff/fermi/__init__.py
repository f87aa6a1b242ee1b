"""Fermi surfaces of metals: eigenvalues on a full mesh, what their surface is like, a table of it for every metal; roughness of the band energy along paths."""


def table():
    """The table that ships with MetalFF: see ``metalff.fermi.metals.table``."""
    from metalff.fermi.metals import table

    return table()
