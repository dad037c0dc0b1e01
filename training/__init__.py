"""A training list in, predictions and their evaluation out."""
