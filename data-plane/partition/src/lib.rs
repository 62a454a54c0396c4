//! What one partition knows, by applying its group's committed log: offsets, producers, cold segments, retention.
