"""Turns labelled rows into trained weights: losses, optimizers, epochs, history.

Predicting and serving import nothing from here.
"""
