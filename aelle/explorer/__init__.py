"""Projections, figures and the page. Reads files only; never imports torch."""
