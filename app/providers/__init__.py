"""Providers of language models: their clients, each HTTP attempt metered, and what is done when one fails.

Nothing here but ``metering`` is imported before a model is called: the libraries take seconds and 100 MB, which a
web worker does not pay for.
"""
