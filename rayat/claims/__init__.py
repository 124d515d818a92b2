"""What papers claim, as data beside their studies, and what a run allows to say of it."""
