"""Many cells: which jobs there are, who does them, and what becomes of them."""
