"""The Kubernetes operator's package.

`operator/` is a source root and never a package: an `__init__.py` beside this folder would shadow the standard library.
"""
