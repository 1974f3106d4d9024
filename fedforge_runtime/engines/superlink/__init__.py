"""Flower's deployment engine, operated: a SuperLink, the nodes of the sites, and the run that drives them."""
