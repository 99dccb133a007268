"""What a request may say, and the errors that tell what is wrong with it."""
