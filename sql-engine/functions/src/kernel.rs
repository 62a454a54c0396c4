//! A function with its types resolved, and what its kernel sees: arguments by row, constants once.

use crate::{arrow_field, arrow_type, row_errors, work};
use arrow::array::{Array, ArrayAccessor, ArrayRef, ArrowPrimitiveType, BooleanArray};
use arrow::array::{PrimitiveArray, StringArray, new_null_array};
use arrow::datatypes::DataType;
use datafusion_common::{Result as DataFusionResult, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use millstream_columns::RowError;
use millstream_model::limits::SQL_VALUE_BYTES_MAX;
use millstream_parser::SqlType;
use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A row's value, null, or why it failed.
pub type RowResult<T> = Result<Option<T>, RowError<()>>;

/// Computes a whole column; a failed row is null in it and reported.
pub type Kernel = Arc<dyn Fn(&Args) -> ArrayRef + Send + Sync>;

/// A function chosen for its arguments' types.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What each argument must be converted to.
    pub argument_types: Vec<SqlType>,
    pub return_type: SqlType,
    pub udf: Arc<ScalarUDF>,
}

impl Resolved {
    pub(crate) fn new(
        name: &str,
        argument_types: Vec<SqlType>,
        return_type: SqlType,
        kernel: Kernel,
    ) -> Resolved {
        let signature = Signature::new(
            TypeSignature::Exact(argument_types.iter().map(arrow_type).collect()),
            Volatility::Volatile,
        );
        let function = Function {
            name: name.to_owned(),
            argument_types: argument_types.clone(),
            return_type: return_type.clone(),
            signature,
            kernel,
        };
        Resolved {
            argument_types,
            return_type,
            udf: Arc::new(ScalarUDF::new_from_impl(function)),
        }
    }
}

/// The adapter to DataFusion.
struct Function {
    name: String,
    argument_types: Vec<SqlType>,
    return_type: SqlType,
    signature: Signature,
    kernel: Kernel,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{:?} -> {}",
            self.name, self.argument_types, self.return_type
        )
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Function) -> bool {
        let facts = |f: &Function| (f.name.clone(), f.argument_types.clone(), f.return_type.clone());
        facts(self) == facts(other)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.argument_types, &self.return_type).hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[arrow::datatypes::DataType]) -> DataFusionResult<arrow::datatypes::DataType> {
        Ok(arrow_field("", &self.return_type).data_type().clone())
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> DataFusionResult<ColumnarValue> {
        let all_constant = given
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if all_constant { 1 } else { given.number_rows };
        let mut columns = Vec::with_capacity(given.args.len());
        for arg in given.args {
            columns.push(match arg {
                ColumnarValue::Array(array) => (array, false),
                ColumnarValue::Scalar(value) => (value.to_array_of_size(1)?, true),
            });
        }
        let args = Args {
            columns,
            rows,
            all_constant,
        };
        let result = if self.return_type.is_primitive() || work::has_room(args.copied_bytes()) {
            (self.kernel)(&args)
        } else {
            row_errors::report(RowError::new(None, work::TOO_MUCH));
            new_null_array(&arrow_type(&self.return_type), rows)
        };
        if matches!(result.data_type(), DataType::Utf8) || result.data_type().is_nested() {
            work::charge(size_of_rows(&result));
        }
        if all_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

/// The arguments of one call on one batch. The arrays have the resolved types.
pub struct Args {
    columns: Vec<(ArrayRef, bool)>,
    rows: usize,
    all_constant: bool,
}

/// One argument: a value per row, or one for all.
pub struct Arg<'a, A> {
    array: &'a A,
    constant: bool,
}

impl<'a, A> Arg<'a, A>
where
    &'a A: ArrayAccessor,
{
    /// The value at a row; None is null.
    pub fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item> {
        let row = if self.constant { 0 } else { row };
        let array = self.array;
        if array.is_null(row) {
            None
        } else {
            Some(array.value(row))
        }
    }
}

/// Bytes of the rows of an array, not of what else lies in its buffers.
fn size_of_rows(array: &ArrayRef) -> usize {
    array
        .to_data()
        .get_slice_memory_size()
        .unwrap_or_else(|_| array.get_array_memory_size())
}

impl Args {
    /// The bytes of a result that holds every argument of every row.
    fn copied_bytes(&self) -> usize {
        let bytes = |(array, constant): &(ArrayRef, bool)| {
            size_of_rows(array).saturating_mul(if *constant { self.rows } else { 1 })
        };
        self.columns.iter().map(bytes).fold(0, usize::saturating_add)
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// The argument's array: one slot per row, or a single one when constant.
    pub fn array(&self, index: usize) -> (&ArrayRef, bool) {
        let (array, constant) = &self.columns[index];
        (array, *constant)
    }

    /// The slot of an argument's array that belongs to a row.
    pub fn slot(&self, index: usize, row: usize) -> usize {
        if self.columns[index].1 { 0 } else { row }
    }

    pub fn is_null(&self, index: usize, row: usize) -> bool {
        self.columns[index].0.is_null(self.slot(index, row))
    }

    pub fn typed<A: Array + 'static>(&self, index: usize) -> Arg<'_, A> {
        let (array, constant) = &self.columns[index];
        let array = array
            .as_any()
            .downcast_ref()
            .expect("bug: arguments have the types that were resolved");
        Arg {
            array,
            constant: *constant,
        }
    }

    pub fn text(&self, index: usize) -> Arg<'_, StringArray> {
        self.typed(index)
    }

    pub fn primitive<T: ArrowPrimitiveType>(&self, index: usize) -> Arg<'_, PrimitiveArray<T>> {
        self.typed(index)
    }

    /// A failed row: reports it and gives null.
    pub fn settle<T>(&self, row: usize, result: RowResult<T>) -> Option<T> {
        result.unwrap_or_else(|error| {
            row_errors::report(error.with_row((!self.all_constant).then_some(row)));
            None
        })
    }

    pub fn primitives<T: ArrowPrimitiveType>(
        &self,
        mut row: impl FnMut(usize) -> RowResult<T::Native>,
    ) -> ArrayRef {
        Arc::new(
            (0..self.rows)
                .map(|at| self.settle(at, row(at)))
                .collect::<PrimitiveArray<T>>(),
        )
    }

    pub fn booleans(&self, mut row: impl FnMut(usize) -> RowResult<bool>) -> ArrayRef {
        Arc::new(
            (0..self.rows)
                .map(|at| self.settle(at, row(at)))
                .collect::<BooleanArray>(),
        )
    }

    pub fn strings<'t>(&self, mut row: impl FnMut(usize) -> RowResult<Cow<'t, str>>) -> ArrayRef {
        let mut total = 0;
        let capped = (0..self.rows).map(|at| {
            let value = room_for(total).and_then(|()| row(at)).and_then(|v| {
                v.map(|v| within_caps(v.len(), &mut total).map(|()| v))
                    .transpose()
            });
            self.settle(at, value)
        });
        Arc::new(capped.collect::<StringArray>())
    }
}

fn within_caps(length: usize, total: &mut usize) -> Result<(), RowError<()>> {
    check_length(length)?;
    room_for(*total + length)?;
    *total += length;
    Ok(())
}

/// Refuses a column of so many bytes when they are more than may be made.
pub fn room_for(bytes: usize) -> Result<(), RowError<()>> {
    match work::has_room(bytes) {
        true => Ok(()),
        false => Err(work::TOO_MUCH.into()),
    }
}

/// Refuses a value that would be larger than a SQL value may be, or than its row may still make; call it before making
/// the value.
pub fn check_length(bytes: usize) -> Result<(), RowError<()>> {
    if bytes > SQL_VALUE_BYTES_MAX {
        return Err(format!("a value of {bytes} bytes exceeds the limit of {SQL_VALUE_BYTES_MAX}").into());
    }
    room_for(bytes)
}
