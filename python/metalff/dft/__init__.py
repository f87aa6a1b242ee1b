"""DFT labels: one protocol, a queue of structures, and the sets in the layout of Metal-43 that come of it."""
