"""Where galaxies come from: Galaxy10, a file, a user's own images, or the simulation."""
