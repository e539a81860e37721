"""Background work: schedules that run once, errands for committed rows, and the durable engine under both."""
