"""The face parser of this project: part probabilities and features of portraits, for measuring."""
