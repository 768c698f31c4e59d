"""The annotation page: a local server, its journal, and the page in static/."""
