"""Frozen, pretrained networks: built, given weights, cut at a node, run."""
