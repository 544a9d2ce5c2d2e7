"""Tests of galaxies.data."""
