"""The local stack: its processes, the supervisor that keeps them alive, and their end.

`stack_plan` decides on the processes (it reads the settings), `store_server` on the database, `launch` starts the
supervisor, `supervisor` runs the children, `state` is the folder that all of them share. The supervisor stays up for
hours, so it and everything it imports use the standard library alone.
"""
