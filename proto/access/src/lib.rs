//! Who is calling, may they, and how fast: keys, grants, quota arithmetic.
