"""Every query and every change as a named statement with bound parameters, one module per aggregate."""
