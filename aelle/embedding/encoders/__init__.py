"""Encoders of spectra, one family a file; all share the interface of `encoder.Encoder`."""
