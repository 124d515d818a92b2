"""Gradient exchanges by name: how the workers' gradients become one, one file each."""
