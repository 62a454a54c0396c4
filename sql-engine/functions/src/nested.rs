//! Arrays, maps and structs: making them, and taking things out.

use crate::arrow_type;
use crate::choose::nulls;
use crate::kernel::{Args, Kernel, Resolved};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, UInt32Array, make_comparator,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Int32Type};
use millstream_parser::{SqlType, StructField};
use std::cmp::Ordering;
use std::sync::Arc;

/// `base[index]`: of an array from 1 (from the end when negative), of a map by key; null when it is not there.
#[must_use]
pub fn element(base: &SqlType) -> Option<Resolved> {
    let (index, result, kernel): (SqlType, SqlType, Kernel) = match base {
        SqlType::Array(item) => (SqlType::Int, (**item).clone(), Arc::new(array_element)),
        SqlType::Map(key, value) => ((**key).clone(), (**value).clone(), Arc::new(map_element)),
        _ => return None,
    };
    Some(Resolved::new(
        "element",
        vec![base.clone(), index],
        result,
        kernel,
    ))
}

/// Takes slots of `values`; None is null.
fn taken(values: &ArrayRef, slots: impl Iterator<Item = Option<usize>>) -> ArrayRef {
    let indices: UInt32Array = slots
        .map(|slot| slot.and_then(|slot| u32::try_from(slot).ok()))
        .collect();
    let rows = indices.len();
    take(values, &indices, None).unwrap_or_else(|_| arrow::array::new_null_array(values.data_type(), rows))
}

fn array_element(args: &Args) -> ArrayRef {
    let lists = args.array(0).0.as_list::<i32>();
    let index = args.primitive::<Int32Type>(1);
    let slots = (0..args.rows()).map(|row| {
        let list = args.slot(0, row);
        let (Some(index), false) = (index.get(row), lists.is_null(list)) else {
            return None;
        };
        let (from, length) = (lists.value_offsets()[list], lists.value_length(list));
        let at = if index < 0 {
            length.checked_add(index)?
        } else {
            index.checked_sub(1)?
        };
        if (0..length).contains(&at) {
            usize::try_from(from + at).ok()
        } else {
            None
        }
    });
    taken(lists.values(), slots)
}

fn map_element(args: &Args) -> ArrayRef {
    let maps = args.array(0).0.as_map();
    let wanted = args.array(1).0;
    let compare = make_comparator(maps.keys(), wanted, SortOptions::default());
    let slots = (0..args.rows()).map(|row| {
        let (map, key) = (args.slot(0, row), args.slot(1, row));
        if maps.is_null(map) || wanted.is_null(key) {
            return None;
        }
        let compare = compare.as_ref().ok()?;
        let entries = usize::try_from(maps.value_offsets()[map]).ok()?
            ..usize::try_from(maps.value_offsets()[map + 1]).ok()?;
        entries
            .into_iter()
            .find(|entry| compare(*entry, key) == Ordering::Equal)
    });
    taken(maps.values(), slots)
}

/// `base->field`; None when the type has no such field.
#[must_use]
pub fn field(base: &SqlType, name: &str) -> Option<Resolved> {
    let SqlType::Struct(fields) = base else {
        return None;
    };
    let index = fields.iter().position(|field| field.name == name)?;
    let kernel: Kernel = Arc::new(move |args| {
        let structs = args.array(0).0.as_struct();
        let slots =
            (0..args.rows()).map(|row| Some(args.slot(0, row)).filter(|slot| structs.is_valid(*slot)));
        taken(structs.column(index), slots)
    });
    Some(Resolved::new(
        name,
        vec![base.clone()],
        fields[index].sql_type.clone(),
        kernel,
    ))
}

/// `ARRAY[…]` of so many elements.
#[must_use]
pub fn make_array(item: &SqlType, count: usize) -> Resolved {
    let result = SqlType::Array(Box::new(item.clone()));
    let item_type = item.clone();
    let kernel: Kernel = Arc::new(move |args| {
        let values = interleaved(args, 0, 1, &item_type);
        let DataType::List(field) = arrow_type(&SqlType::Array(Box::new(item_type.clone()))) else {
            return values;
        };
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(args.len(), args.rows()));
        Arc::new(ListArray::new(field, offsets, values, None))
    });
    Resolved::new("array", vec![item.clone(); count], result, kernel)
}

/// The arguments from `first`, every `step`-th, row by row one after the other.
fn interleaved(args: &Args, first: usize, step: usize, sql_type: &SqlType) -> ArrayRef {
    let chosen: Vec<usize> = (first..args.len()).step_by(step).collect();
    if chosen.is_empty() {
        return nulls(sql_type, 0);
    }
    let arrays: Vec<&dyn Array> = chosen.iter().map(|index| args.array(*index).0.as_ref()).collect();
    let slots: Vec<(usize, usize)> = (0..args.rows())
        .flat_map(|row| {
            chosen
                .iter()
                .enumerate()
                .map(move |(at, index)| (at, *index, row))
        })
        .map(|(at, index, row)| (at, args.slot(index, row)))
        .collect();
    interleave(&arrays, &slots).unwrap_or_else(|_| nulls(sql_type, slots.len()))
}

/// `MAP(k := v, …)` of so many entries; arguments are k, v, k, v, …. A row with a null key fails; the last
/// of two entries with the same key stays.
#[must_use]
pub fn make_map(key: &SqlType, value: &SqlType, count: usize) -> Resolved {
    let result = SqlType::Map(Box::new(key.clone()), Box::new(value.clone()));
    let (key_type, value_type, map_type) = (key.clone(), value.clone(), arrow_type(&result));
    let kernel: Kernel = Arc::new(move |args| map_array(args, &key_type, &value_type, &map_type));
    let types = (0..2 * count)
        .map(|i| if i % 2 == 0 { key.clone() } else { value.clone() })
        .collect();
    Resolved::new("map", types, result, kernel)
}

fn map_array(args: &Args, key: &SqlType, value: &SqlType, map_type: &DataType) -> ArrayRef {
    let entries = args.len() / 2;
    let (keys, values) = (interleaved(args, 0, 2, key), interleaved(args, 1, 2, value));
    let null = || arrow::array::new_null_array(map_type, args.rows());
    let (DataType::Map(entry, _), Ok(same)) =
        (map_type, make_comparator(&keys, &keys, SortOptions::default()))
    else {
        return null();
    };
    let DataType::Struct(fields) = entry.data_type() else {
        return null();
    };
    let (mut kept, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..args.rows() {
        let slots = row * entries..(row + 1) * entries;
        let result = if slots.clone().any(|slot| keys.is_null(slot)) {
            Err("a map's key must not be null".into())
        } else {
            Ok(Some(()))
        };
        let row_valid = args.settle(row, result).is_some();
        let last = |slot: &usize| !(slot + 1..slots.end).any(|later| same(*slot, later) == Ordering::Equal);
        let before = kept.len();
        kept.extend(slots.clone().filter(|slot| row_valid && last(slot)));
        lengths.push(kept.len() - before);
        valid.push(row_valid);
    }
    let (keys, values) = (
        taken(&keys, kept.iter().copied().map(Some)),
        taken(&values, kept.iter().copied().map(Some)),
    );
    let structs = StructArray::new(fields.clone(), vec![keys, values], None);
    let validity = BooleanArray::from(valid).values().clone();
    Arc::new(MapArray::new(
        Arc::clone(entry),
        OffsetBuffer::from_lengths(lengths),
        structs,
        Some(validity.into()),
        false,
    ))
}

/// `STRUCT(name := value, …)`.
#[must_use]
pub fn make_struct(fields: &[StructField]) -> Resolved {
    let result = SqlType::Struct(fields.to_vec());
    let types: Vec<SqlType> = fields.iter().map(|field| field.sql_type.clone()).collect();
    let struct_type = arrow_type(&result);
    let kernel: Kernel = Arc::new(move |args| {
        let DataType::Struct(fields) = &struct_type else {
            return arrow::array::new_null_array(&struct_type, args.rows());
        };
        let column = |index: usize| {
            taken(
                args.array(index).0,
                (0..args.rows()).map(|row| Some(args.slot(index, row))),
            )
        };
        Arc::new(StructArray::new(
            fields.clone(),
            (0..args.len()).map(column).collect(),
            None,
        ))
    });
    Resolved::new("struct", types, result, kernel)
}

/// ARRAY_LENGTH: null of null.
pub fn array_length(argument: &SqlType) -> Option<Resolved> {
    let SqlType::Array(_) = argument else { return None };
    let kernel: Kernel = Arc::new(|args| {
        let lists = args.array(0).0.as_list::<i32>();
        args.primitives::<Int32Type>(|row| {
            let slot = args.slot(0, row);
            Ok(lists.is_valid(slot).then(|| lists.value_length(slot)))
        })
    });
    Some(Resolved::new(
        "ARRAY_LENGTH",
        vec![argument.clone()],
        SqlType::Int,
        kernel,
    ))
}

/// ARRAY_CONTAINS(array, value): a null array gives false; a null value looks for a null.
pub fn array_contains(array: &SqlType, value: Option<&SqlType>) -> Option<Resolved> {
    let SqlType::Array(item) = array else { return None };
    if value.is_some_and(|value| !crate::converts_implicitly(value, item)) || !item.is_primitive() {
        return None;
    }
    let kernel: Kernel = Arc::new(|args| {
        let lists = args.array(0).0.as_list::<i32>();
        let wanted = args.array(1).0;
        let compare = make_comparator(lists.values(), wanted, SortOptions::default()).ok();
        args.booleans(|row| {
            let (list, wanted_at) = (args.slot(0, row), args.slot(1, row));
            if lists.is_null(list) {
                return Ok(Some(false));
            }
            let bounds = lists.value_offsets()[list]..lists.value_offsets()[list + 1];
            let mut slots = bounds.filter_map(|slot| usize::try_from(slot).ok());
            let equal = |slot| {
                compare
                    .as_ref()
                    .is_some_and(|compare| compare(slot, wanted_at) == Ordering::Equal)
            };
            Ok(Some(slots.any(equal)))
        })
    });
    Some(Resolved::new(
        "ARRAY_CONTAINS",
        vec![array.clone(), (**item).clone()],
        SqlType::Boolean,
        kernel,
    ))
}
