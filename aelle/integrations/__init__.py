"""The early predictor where networks are trained: one's own loop, Optuna, Ray Tune, and collections."""
