"""Models in forms that run without Python."""
