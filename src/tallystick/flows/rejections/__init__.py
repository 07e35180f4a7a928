"""Rejected cases: listed, taken, escalated, ignored, processed again by the same guards, and closed by rules."""
