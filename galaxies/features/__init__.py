"""Activations: extracted once, kept in stores that say what they are, read back in minibatches."""
