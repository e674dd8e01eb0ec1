"""How fast this is, as ratios against what one would have otherwise: `python -m bench`."""
