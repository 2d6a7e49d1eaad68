"""Long measurements of how artaffect holds under hostile input; each module is run by its name."""
