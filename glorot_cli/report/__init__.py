"""What is printed: tables for people, JSON documents for scripts."""
