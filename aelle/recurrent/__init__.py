"""Recurrent cells and networks: one architecture per file, each a pure step with a closed-form Jacobian."""
