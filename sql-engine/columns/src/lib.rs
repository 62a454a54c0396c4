//! Record bytes to Arrow columns and back, per format, with row errors.
