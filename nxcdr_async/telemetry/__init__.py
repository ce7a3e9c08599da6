"""What is reported of the work: to the log, and to OpenTelemetry where its API is installed."""
