"""How fast models run on this machine: cases, their measurement, table and plot."""
