"""Tests of galaxies.tables."""
