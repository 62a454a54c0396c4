//! Tasks, shards and commits: reads streams, runs operators, writes results.
