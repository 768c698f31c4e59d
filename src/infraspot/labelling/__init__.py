"""Clicks of a whole data set turned into masks, and what the command line and the page share of it."""
