"""A user's own galaxies: from any file to a row of a table; export and search."""
