"""Explanations of what happened, from durable rows."""
