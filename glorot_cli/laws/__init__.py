"""What elements tell of their law: known laws that they fit, and what speaks against one."""
