"""Thousands of independent AutoML forecasters, used as easily as one."""
