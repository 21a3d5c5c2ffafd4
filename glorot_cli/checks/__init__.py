"""What weight files hold: inspected, redrawn and compared, judged by statistics."""
