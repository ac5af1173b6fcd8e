"""What agents may reach outside: web search, and the guards around text and addresses that come from there."""
