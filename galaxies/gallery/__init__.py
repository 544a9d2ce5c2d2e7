"""A page to look at the test galaxies on, and labels that are probably wrong."""
