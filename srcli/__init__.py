"""srcli: sharp 4x pictures from the command line with lightweight super-resolution networks."""

__version__ = "0.1.0"
