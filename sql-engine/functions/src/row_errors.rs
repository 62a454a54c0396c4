//! How kernels report rows that failed: a sink per thread, because a DataFusion function can only return values.
//!
//! A kernel makes the failed row null and calls [`report`]; whoever evaluates an expression wraps the evaluation
//! in [`collect`]. Rows are counted within the arrays the kernel was given, which are the batch's own unless a
//! CASE, AND or OR has picked some rows first. Outside [`collect`], reports go nowhere.

use millstream_columns::RowError;
use std::cell::RefCell;

/// Errors kept of one evaluation; more rows may fail, but then every row's error is found one by one.
const ERRORS_MAX: usize = 65_536;

/// The row by its index; `None` when the arguments are constant, so that every row fails.
pub type Reported = RowError<Option<usize>>;

thread_local! {
    static SINK: RefCell<Option<Vec<Reported>>> = const { RefCell::new(None) };
}

/// Runs `evaluation` and returns what was reported meanwhile. Nested calls see only their own reports.
pub fn collect<T>(evaluation: impl FnOnce() -> T) -> (T, Vec<Reported>) {
    let before = SINK.with_borrow_mut(|sink| sink.replace(Vec::new()));
    let result = evaluation();
    let errors = SINK.with_borrow_mut(|sink| std::mem::replace(sink, before));
    (result, errors.unwrap_or_default())
}

/// Reports a failed row.
pub fn report(error: Reported) {
    SINK.with_borrow_mut(|sink| {
        if let Some(errors) = sink
            && errors.len() < ERRORS_MAX
        {
            errors.push(error);
        }
    });
}
