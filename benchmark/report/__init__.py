"""Results drawn and printed: tables, figures, the page."""
