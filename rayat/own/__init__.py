"""Methods that are not rayat's: where their code lies, and how a run and its workers get it."""
