"""Tests of galaxies.repository."""
