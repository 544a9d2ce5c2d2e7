"""Labelled galaxies: the one file that holds them, the catalog, and which of them train, validate and test."""
