"""How the shipped backbone was made, and what it is worth on real galaxies."""
