"""What networks learn: data, loss, metric and driving sequences. One task per file."""
