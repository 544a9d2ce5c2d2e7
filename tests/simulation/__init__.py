"""Tests of galaxies.simulation."""
