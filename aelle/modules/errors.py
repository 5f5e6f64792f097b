"""What is said where a module cannot be measured."""

from __future__ import annotations


class ModuleError(TypeError):
    """A module whose spectrum cannot be taken: what stands in the way, and what would work."""


class DiffersError(ValueError):
    """A module that computes something else than the cells it would be converted to."""


class SideEffectWarning(UserWarning):
    """Code of the user's own (hooks) ran, or the module was measured in another mode than it is in."""
