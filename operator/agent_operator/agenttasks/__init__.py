"""AgentTasks: watched, submitted over REST, mirrored into their status, expired."""
