"""Lyapunov numerics: the exponents of any driven map, with errors and a certificate."""
