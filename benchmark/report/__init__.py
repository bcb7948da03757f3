"""What a run shows: tables, figures, the page."""
