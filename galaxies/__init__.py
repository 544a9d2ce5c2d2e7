"""Classify galaxies by shape from the cached activations of a frozen, pretrained network.

The modules follow one galaxy from file to metric:

``sources`` and ``survey`` make ``galaxies.h5`` (``galaxy_file``); ``splits`` decides which galaxies are used and how they
are divided (``catalog``, ``sky``); ``backbone`` and ``extraction`` write a layer's activations into a ``store``;
``training`` fits a ``head`` on them; ``evaluation`` and ``plots`` say how good it is.
"""
