"""The vocabulary: every question and every change, named, with bound parameters, one module per aggregate."""
