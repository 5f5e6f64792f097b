"""What early prediction refuses."""


class PredictionError(ValueError):
    """A prediction that cannot be made or judged; the message says what would be right."""


class PredictorError(PredictionError):
    """A saved predictor that cannot be used, or not on these records; the message says what would be right."""
