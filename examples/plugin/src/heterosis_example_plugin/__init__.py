"""A merge method and an objective for Heterosis, as an example of a package of one's own."""
