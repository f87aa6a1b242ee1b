"""Temperature sweeps in LAMMPS: plan → jobs → run → trajectories and thermo tables; resumable at any moment."""
