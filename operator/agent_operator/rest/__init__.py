"""The room of the REST API: its typed client, and the back-off while the API accepts no submissions."""
