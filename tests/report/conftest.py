"""The room's runs of known content."""

from recorded import builder, busy, known, make_run

__all__ = ["builder", "busy", "known", "make_run"]
