"""The gateway and whole tasks against model servers that this project did not write.

`make providers` installs the servers into `.venv-providers` from a lock of their own, because LiteLLM needs another
`openai` than the product. `make test` does not run this folder. Without that environment its tests are skipped.
"""
