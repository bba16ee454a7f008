"""Redis and Valkey: connecting, calling within a deadline, scripts. What is kept there is for the packages above."""
