"""Tests of galaxies.sources."""
