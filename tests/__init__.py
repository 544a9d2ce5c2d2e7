"""Tests mirror ``galaxies``, plus whole-pipeline tests."""
