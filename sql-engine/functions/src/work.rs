//! How much evaluation makes: a meter per thread, because a DataFusion function is told nothing but its arguments.
//!
//! Whoever evaluates expressions over some rows wraps that in [`within`]. Functions ask before they make something large
//! and stop when the budget is used up; whoever evaluates then tries with fewer rows, down to one, whose failure is its
//! own. So what a row may make never depends on the rows around it. Outside [`within`] nothing is counted.
//!
//! Beside that a [`pass`] of many rows through several evaluations has a budget: a pass that has used it up is not worth
//! ending, its caller begins anew with fewer rows.

use std::cell::Cell;
use std::thread::LocalKey;

/// What a row's fault says when its expressions make too much.
pub const TOO_MUCH: &str = "the expressions of one row make more bytes than are allowed";

#[derive(Clone, Copy)]
struct Meter {
    left: usize,
    exhausted: bool,
}

thread_local! {
    static METER: Cell<Option<Meter>> = const { Cell::new(None) };
    static PASS: Cell<Option<Meter>> = const { Cell::new(None) };
}

/// What was made within a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Bytes of text and of arrays, maps and structs.
    pub bytes: usize,
    /// The budget was not enough.
    pub exhausted: bool,
}

/// Runs `evaluation` with so many bytes to make. Nested calls have budgets of their own.
pub fn within<T>(bytes_max: usize, evaluation: impl FnOnce() -> T) -> (T, Made) {
    let (result, made) = metered(&METER, bytes_max, evaluation);
    if let Some(pass) = PASS.get() {
        PASS.set(Some(Meter {
            left: pass.left.saturating_sub(made.bytes),
            exhausted: pass.exhausted || made.bytes > pass.left,
        }));
    }
    (result, made)
}

/// Runs several evaluations that make so many bytes together. When that is not enough, what they answer is worth
/// nothing: see [`is_pass_over`].
pub fn pass<T>(bytes_max: usize, evaluations: impl FnOnce() -> T) -> (T, Made) {
    metered(&PASS, bytes_max, evaluations)
}

/// Whether the budget of this pass is used up: its answers do not matter any more.
pub fn is_pass_over() -> bool {
    PASS.get().is_some_and(|pass| pass.exhausted)
}

fn metered<T>(
    meter: &'static LocalKey<Cell<Option<Meter>>>,
    bytes_max: usize,
    run: impl FnOnce() -> T,
) -> (T, Made) {
    let fresh = Meter {
        left: bytes_max,
        exhausted: false,
    };
    let before = meter.replace(Some(fresh));
    let result = run();
    let after = meter.replace(before).unwrap_or(fresh);
    let made = Made {
        bytes: bytes_max - after.left,
        exhausted: after.exhausted,
    };
    (result, made)
}

/// Whether so many bytes more may be made; if not, nothing more may be made at all.
pub(crate) fn has_room(bytes: usize) -> bool {
    let Some(meter) = METER.get() else {
        return true;
    };
    let fits = !meter.exhausted && bytes <= meter.left;
    if !fits {
        METER.set(Some(Meter {
            exhausted: true,
            ..meter
        }));
    }
    fits
}

/// So many bytes were made.
pub(crate) fn charge(bytes: usize) {
    if let Some(meter) = METER.get() {
        METER.set(Some(Meter {
            left: meter.left.saturating_sub(bytes),
            exhausted: meter.exhausted || bytes > meter.left,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::{Made, charge, has_room, is_pass_over, pass, within};

    #[test]
    fn a_pass_counts_what_its_evaluations_make() {
        let ((), made) = pass(10, || {
            within(100, || charge(6));
            assert!(!is_pass_over());
            within(100, || charge(6));
            assert!(is_pass_over());
        });
        assert_eq!((made.bytes, made.exhausted), (10, true));
        assert!(!is_pass_over());
    }

    #[test]
    fn what_is_made_counts_within_its_own_budget_only() {
        assert!(has_room(usize::MAX), "nobody counts");
        let (inner, made) = within(10, || {
            charge(6);
            let (fits, inner) = within(3, || has_room(4));
            assert!(!fits && has_room(4) && !has_room(5));
            assert!(!has_room(0), "used up is used up");
            inner
        });
        assert_eq!(
            (inner, made),
            (
                Made {
                    bytes: 0,
                    exhausted: true
                },
                Made {
                    bytes: 6,
                    exhausted: true
                }
            )
        );
    }
}
