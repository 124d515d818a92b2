"""Data: sources read whole sets into memory as uint8; the loader crops and flips whole batches."""
