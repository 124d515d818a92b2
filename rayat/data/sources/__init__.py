"""Where images come from, by name, one file each; each is read whole into memory as uint8."""
