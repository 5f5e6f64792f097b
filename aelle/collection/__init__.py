"""Training of many networks and the recording of their spectra."""
