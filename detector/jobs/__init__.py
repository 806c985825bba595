"""What a user asks for: one file a job, made of stages."""
