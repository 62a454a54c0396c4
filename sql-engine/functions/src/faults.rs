//! How kernels report rows that failed: a sink per thread, because a DataFusion function can only return values.
//!
//! A kernel makes the failed row null and calls [`report`]; whoever evaluates an expression wraps the evaluation
//! in [`collect`]. Rows are counted within the arrays the kernel was given, which are the batch's own unless a
//! CASE, AND or OR has picked some rows first. Outside [`collect`], reports go nowhere.

use std::cell::RefCell;

/// Messages kept of one evaluation; more rows may fail, but then every row's fault is found one by one.
const FAULTS_MAX: usize = 65_536;

/// One failed row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The row; None when the arguments are constant, so that every row fails.
    pub row: Option<usize>,
    pub message: String,
}

thread_local! {
    static SINK: RefCell<Option<Vec<Fault>>> = const { RefCell::new(None) };
}

/// Runs `evaluation` and returns what was reported meanwhile. Nested calls see only their own reports.
pub fn collect<T>(evaluation: impl FnOnce() -> T) -> (T, Vec<Fault>) {
    let before = SINK.with_borrow_mut(|sink| sink.replace(Vec::new()));
    let result = evaluation();
    let faults = SINK.with_borrow_mut(|sink| std::mem::replace(sink, before));
    (result, faults.unwrap_or_default())
}

/// Reports a failed row.
pub fn report(row: Option<usize>, message: impl FnOnce() -> String) {
    SINK.with_borrow_mut(|sink| {
        if let Some(faults) = sink
            && faults.len() < FAULTS_MAX
        {
            faults.push(Fault {
                row,
                message: message(),
            });
        }
    });
}
