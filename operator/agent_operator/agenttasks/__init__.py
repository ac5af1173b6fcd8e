"""The room of AgentTasks: it watches them, submits their tasks over REST, mirrors the tasks' states into their
statuses, and deletes them when their time to live is over.
"""
