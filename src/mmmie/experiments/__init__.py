"""Studies: arms, seeds and corpora in one table; robustness, information, interactions."""
