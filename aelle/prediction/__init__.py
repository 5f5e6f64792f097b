"""Early prediction of final accuracy, next to a ladder of baselines."""
