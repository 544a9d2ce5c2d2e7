"""Tests of galaxies.backbones."""
