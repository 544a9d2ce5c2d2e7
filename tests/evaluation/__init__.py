"""Tests of galaxies.evaluation."""
