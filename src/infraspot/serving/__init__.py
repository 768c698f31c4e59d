"""Frames over HTTP: the server of a detector, and what every server of ours checks before it reads."""
