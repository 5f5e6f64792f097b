"""Where networks are trained: a monitor and the early predictor in one's own loop, in frameworks and in searches."""
