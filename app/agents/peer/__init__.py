"""The router: which agent fits a task, and how sure it is."""
