"""Studies: many small trainings on chosen data, tested on held-out frames, kept in one table that later runs extend."""
