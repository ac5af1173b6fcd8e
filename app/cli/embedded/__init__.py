"""The local stack: which processes it has, who keeps them alive, and how they end.

`plan` decides (it reads the settings), `launch` starts the supervisor, `supervisor` runs the children, `state` is the
folder they meet in. The supervisor stays up for hours, so everything it imports is the standard library alone.
"""
