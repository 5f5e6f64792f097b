"""The autoencoder of spectra with its accuracy head."""
