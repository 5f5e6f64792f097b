"""What early prediction refuses."""


class PredictionError(ValueError):
    """A prediction that cannot be made or judged; the message says what would be right."""
