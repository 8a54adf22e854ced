"""What the doctor looks at: one module a subject, and `table.CHECKS`, which lists them."""
