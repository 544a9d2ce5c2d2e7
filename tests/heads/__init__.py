"""Tests of galaxies.heads."""
