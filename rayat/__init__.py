"""rayat: find out which schedule trains a robust model sooner."""

__version__ = "0.2.0"
