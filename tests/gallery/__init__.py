"""Tests of galaxies.gallery."""
