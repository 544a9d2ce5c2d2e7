"""Where galaxies come from: Galaxy10, files, a user's own images and FITS, or the simulation; read, framed, listed."""
