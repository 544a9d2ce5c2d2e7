"""Frozen, pretrained networks: built, given weights, cut at a node, run; and the endings after the cut."""
