"""The built-in survey: galaxies drawn from physical parameters, as a telescope would see them."""
