//! Scalar functions and Java's rules that ksqlDB speaks.
