"""What speaks to DVC and Git: locks after a kill, revisions, the page of plots."""
