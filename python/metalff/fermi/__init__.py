"""Fermi surfaces of metals: eigenvalues on a full mesh, what their surface is like, a table of it for every metal."""
