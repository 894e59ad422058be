"""What does a person type? One command per file, which turns arguments into calls of `study` and `report`.

Nothing here imports torch before a command runs, so that ``robustpeft --help`` answers at once.
"""
