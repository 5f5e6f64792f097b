"""Compiled inner loops for small networks, with their loader."""
