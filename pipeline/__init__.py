"""What several nodes share: conditioning, edits, the guider, memory plans, advice and output."""
