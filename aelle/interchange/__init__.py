"""Spectra computed elsewhere, brought in as an experiment's folder."""
