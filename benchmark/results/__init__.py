"""Numbers from what a run recorded; nothing is drawn here."""
