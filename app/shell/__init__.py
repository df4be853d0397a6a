"""Parts of the dashboard that belong to no page: the way in, the server's own rules, its end."""
