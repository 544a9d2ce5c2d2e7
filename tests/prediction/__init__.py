"""Tests of galaxies.prediction."""
