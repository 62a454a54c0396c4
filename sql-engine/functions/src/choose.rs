//! Functions that pick one of their arguments: COALESCE, IFNULL, NULLIF, GREATEST, LEAST.

use crate::kernel::{Args, Kernel, Resolved};
use crate::{arrow_type, common_type};
use arrow::array::{Array, ArrayRef, make_comparator, new_null_array};
use arrow::compute::{SortOptions, interleave};
use millstream_parser::SqlType;
use std::cmp::Ordering;
use std::sync::Arc;

/// The type that all arguments can have; untyped NULLs fit any.
pub fn unify(arguments: &[Option<SqlType>]) -> Option<SqlType> {
    let mut typed = arguments.iter().flatten();
    let first = typed.next()?.clone();
    typed.try_fold(first, |common, next| common_type(&common, next))
}

fn resolved(name: &str, count: usize, sql_type: SqlType, kernel: Kernel) -> Resolved {
    Resolved::new(name, vec![sql_type.clone(); count], sql_type, kernel)
}

/// The first argument that is not null.
pub fn coalesce(name: &str, arguments: &[Option<SqlType>]) -> Option<Resolved> {
    let sql_type = unify(arguments)?;
    let kernel: Kernel = Arc::new(|args| {
        pick(args, |args, row| {
            (0..args.len()).find(|index| !args.is_null(*index, row))
        })
    });
    Some(resolved(name, arguments.len(), sql_type, kernel))
}

/// Null when both are equal, else the first.
pub fn nullif(arguments: &[Option<SqlType>]) -> Option<Resolved> {
    let sql_type = unify(arguments).filter(SqlType::is_primitive)?;
    let kernel: Kernel = Arc::new(|args| {
        compared(args, |args, row, compare| {
            (args.is_null(0, row) || args.is_null(1, row) || compare(0, 1) != Ordering::Equal).then_some(0)
        })
    });
    Some(resolved("NULLIF", 2, sql_type, kernel))
}

/// The largest or smallest argument that is not null.
pub fn extreme(name: &str, wanted: Ordering, arguments: &[Option<SqlType>]) -> Option<Resolved> {
    let sql_type = unify(arguments).filter(|t| t.is_primitive() && *t != SqlType::Boolean)?;
    let kernel: Kernel = Arc::new(move |args| {
        compared(args, |args, row, compare| {
            let candidates = (0..args.len()).filter(|index| !args.is_null(*index, row));
            candidates.reduce(|best, next| if compare(next, best) == wanted { next } else { best })
        })
    });
    Some(resolved(name, arguments.len(), sql_type, kernel))
}

/// Builds the column whose every row is the slot of the chosen argument; None is null.
fn pick(args: &Args, choose: impl Fn(&Args, usize) -> Option<usize>) -> ArrayRef {
    let data_type = args.array(0).0.data_type().clone();
    let null = new_null_array(&data_type, 1);
    let mut arrays: Vec<&dyn Array> = (0..args.len())
        .map(|index| args.array(index).0.as_ref())
        .collect();
    arrays.push(null.as_ref());
    let indices: Vec<(usize, usize)> = (0..args.rows())
        .map(|row| choose(args, row).map_or((args.len(), 0), |index| (index, args.slot(index, row))))
        .collect();
    interleave(&arrays, &indices).unwrap_or_else(|_| new_null_array(&data_type, args.rows()))
}

fn compared(
    args: &Args,
    choose: impl Fn(&Args, usize, &dyn Fn(usize, usize) -> Ordering) -> Option<usize>,
) -> ArrayRef {
    let count = args.len();
    let comparators: Vec<Vec<_>> = (0..count)
        .map(|left| {
            let array = |index| args.array(index).0.as_ref();
            (0..count)
                .map(|right| make_comparator(array(left), array(right), SortOptions::default()).ok())
                .collect()
        })
        .collect();
    pick(args, |args, row| {
        let compare = |left: usize, right: usize| {
            let (l, r) = (args.slot(left, row), args.slot(right, row));
            comparators[left][right]
                .as_ref()
                .map_or(Ordering::Equal, |compare| compare(l, r))
        };
        choose(args, row, &compare)
    })
}

/// The Arrow type of a SQL type, for arrays made of nothing.
pub fn nulls(sql_type: &SqlType, rows: usize) -> ArrayRef {
    new_null_array(&arrow_type(sql_type), rows)
}
