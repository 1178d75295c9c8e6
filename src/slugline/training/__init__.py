"""What happens between labelled rows and a trained net: losses, optimizers, epochs, history.

Nothing here is imported to predict or to serve.
"""
