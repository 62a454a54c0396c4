//! The catalog's rows, their image and how an image follows them.
