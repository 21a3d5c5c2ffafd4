"""The program that reads the pickles in torch's files: apart, and without running any code."""
