"""Pages to look at galaxies on."""
