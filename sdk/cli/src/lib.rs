//! The command line: administer, produce, consume, the SQL shell and the demo.
