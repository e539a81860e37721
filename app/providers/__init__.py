"""What is outside: providers of language models, each HTTP attempt metered, and the store of files.

Nothing here but ``metering`` and ``artifacts`` is imported before a model is called or a file is stored: the models'
libraries take seconds and 100 MB, which a web worker does not pay for.
"""
