"""`report`: one page that answers which activation to use, and what it costs."""
