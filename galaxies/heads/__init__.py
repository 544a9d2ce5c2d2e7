"""Heads: trained on cached activations, calibrated, asked."""
