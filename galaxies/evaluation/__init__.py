"""What a head is worth: metrics with intervals, tables, plots, baselines; and labels that are probably wrong."""
