"""Weight files: cards, converting the authors' files, pruning, and what a network costs."""
