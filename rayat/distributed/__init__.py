"""DAT worker body: gradient exchange between ranks; no Ray."""
