"""What keeps the project's own figures true: the benchmark, README's tables, the cards."""
