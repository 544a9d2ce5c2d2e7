"""Tests of galaxies.features."""
