"""A model for a new camera: from a few labelled frames, from frames without targets, or from frames alone."""
