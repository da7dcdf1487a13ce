"""Training: data stream, phases, schedules, moving average, state, monitoring and the loop."""
