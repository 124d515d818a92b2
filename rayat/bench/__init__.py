"""How fast the engine is on this machine: ratios against honest peers, each with its bar."""
