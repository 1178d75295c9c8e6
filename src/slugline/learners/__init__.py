"""Learners turn CSR rows into scores, one column per topic.

A learner module holds what predicting needs and no more; what fitting needs it imports when asked
to fit.
"""
