//! Tables of JSON texts and what each becomes, and round trips.
#![allow(clippy::unwrap_used)]

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int32Type, Int64Type, TimeUnit};
use millstream_columns::{JsonDecoder, JsonEncoder, KeyDecoder, KeyEncoder, KeyFormat, KeyWindow, RowState};
use proptest::prelude::*;
use std::sync::Arc;

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

/// One text through one field: the JSON written back, or the error.
fn one(data_type: DataType, text: &str) -> Result<String, String> {
    let fields = vec![field("F", data_type)];
    let decoded = JsonDecoder::new(fields.clone())
        .unwrap()
        .decode([Some(text.as_bytes())].into_iter());
    match decoded.states[0] {
        RowState::Failed => Err(decoded.errors[0].message.to_string()),
        RowState::Tombstone => Ok("tombstone".to_owned()),
        RowState::Value => {
            let mut out = Vec::new();
            JsonEncoder::new(&fields)
                .unwrap()
                .encode(&decoded.columns, 0, &mut out);
            let text = String::from_utf8(out).unwrap();
            Ok(text
                .strip_prefix("{\"F\":")
                .unwrap()
                .strip_suffix('}')
                .unwrap()
                .to_owned())
        }
    }
}

#[test]
fn coercions() {
    let decimal = DataType::Decimal128(5, 2);
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, None);
    let list = DataType::List(field("item", DataType::Int32));
    let object = DataType::Struct(Fields::from(vec![
        Field::new("A", DataType::Int32, true),
        Field::new("B", DataType::Utf8, true),
    ]));
    let good: Vec<(DataType, &str, &str)> = vec![
        (DataType::Int32, r#"{"f": 1}"#, "1"),
        (DataType::Int32, r#" {"F" : "12" , "g":[{}]} "#, "12"),
        (DataType::Int32, r#"{"F": 1.9}"#, "1"),
        (DataType::Int32, r#"{"F": -1e2}"#, "-100"),
        (DataType::Int32, r#"{"G": 1}"#, "null"),
        (DataType::Int32, r#"{"F": null}"#, "null"),
        (DataType::Int32, r#"{"f": 1, "F": 2, "f": 3}"#, "2"),
        (DataType::Int32, "{}", "null"),
        (DataType::Int32, "null", "tombstone"),
        (
            DataType::Int64,
            r#"{"F": 9223372036854775807}"#,
            "9223372036854775807",
        ),
        (DataType::Float64, r#"{"F": 1}"#, "1.0"),
        (DataType::Float64, r#"{"F": "2.5"}"#, "2.5"),
        (DataType::Boolean, r#"{"F": true}"#, "true"),
        (
            DataType::Utf8,
            r#"{"F": "a\"\u00e9\ud83d\ude00\n"}"#,
            "\"a\\\"é😀\\n\"",
        ),
        (DataType::Utf8, r#"{"F": 12.50}"#, "\"12.50\""),
        (DataType::Utf8, r#"{"F": {"a":1}}"#, r#""{\"a\":1}""#),
        (DataType::Utf8, r#"{"F": false}"#, "\"false\""),
        (DataType::Binary, r#"{"F": "AQI="}"#, "\"AQI=\""),
        (decimal.clone(), r#"{"F": 1.5}"#, "1.50"),
        (decimal.clone(), r#"{"F": "-0.05"}"#, "-0.05"),
        (decimal.clone(), r#"{"F": 1.235}"#, "1.24"),
        (timestamp.clone(), r#"{"F": 1700000000000}"#, "1700000000000"),
        (DataType::Date32, r#"{"F": 19000}"#, "19000"),
        (DataType::Time32(TimeUnit::Millisecond), r#"{"F": 1000}"#, "1000"),
        (list.clone(), r#"{"F": [1, null, "3"]}"#, "[1,null,3]"),
        (list.clone(), r#"{"F": []}"#, "[]"),
        (
            object.clone(),
            r#"{"F": {"b": "x", "c": [1], "a": 5}}"#,
            r#"{"A":5,"B":"x"}"#,
        ),
    ];
    for (data_type, text, expected) in good {
        assert_eq!(one(data_type, text).as_deref(), Ok(expected), "{text}");
    }
    let bad: Vec<(DataType, &str, &str)> = vec![
        (
            DataType::Int32,
            r#"{"F": 2147483648}"#,
            "column 'F': 2147483648 is out of range for INTEGER",
        ),
        (
            DataType::Int32,
            r#"{"F": "x"}"#,
            "column 'F': expected INTEGER, found a string that is not one",
        ),
        (
            DataType::Int32,
            r#"{"F": true}"#,
            "column 'F': expected INTEGER, found a boolean",
        ),
        (DataType::Int32, r#"{"F": 1"#, "not valid JSON at byte 7"),
        (DataType::Int32, r#"{"F": 1} x"#, "not valid JSON at byte 9"),
        (DataType::Int32, r#"{"F": 01}"#, "not valid JSON at byte 8"),
        (DataType::Int32, "[1]", "expected a JSON object, found an array"),
        (DataType::Int32, "", "not valid JSON at byte 0"),
        (
            DataType::Boolean,
            r#"{"F": "true"}"#,
            "column 'F': expected BOOLEAN, found a string",
        ),
        (
            decimal.clone(),
            r#"{"F": 999.995}"#,
            "column 'F': 999.995 does not fit DECIMAL(5, 2)",
        ),
        (
            decimal,
            r#"{"F": 1000}"#,
            "column 'F': 1000 does not fit DECIMAL(5, 2)",
        ),
        (
            timestamp,
            r#"{"F": "2024"}"#,
            "column 'F': expected TIMESTAMP, found a string",
        ),
        (
            list.clone(),
            r#"{"F": {"a":1}}"#,
            "column 'F': expected ARRAY, found an object",
        ),
        (
            list,
            r#"{"F": [1, "x"]}"#,
            "column 'F': expected INTEGER, found a string that is not one",
        ),
        (
            object,
            r#"{"F": {"a": "x"}}"#,
            "column 'F': field 'A': expected INTEGER, found a string that is not one",
        ),
    ];
    for (data_type, text, expected) in bad {
        assert_eq!(one(data_type, text), Err(expected.to_owned()), "{text}");
    }
    let deep = format!("{{\"F\": {}{}}}", "[".repeat(200), "]".repeat(200));
    assert!(one(DataType::Utf8, &deep).is_err());
}

#[test]
fn a_failed_record_leaves_its_neighbours() {
    let fields = vec![field("A", DataType::Int32), field("B", DataType::Utf8)];
    let values: [Option<&[u8]>; 4] = [
        Some(br#"{"a":1,"b":"x"}"#),
        Some(br#"{"a":"bad","b":"y"}"#),
        None,
        Some(br#"{"a":4}"#),
    ];
    let decoded = JsonDecoder::new(fields).unwrap().decode(values.into_iter());
    assert_eq!(
        decoded.states,
        [
            RowState::Value,
            RowState::Failed,
            RowState::Tombstone,
            RowState::Value
        ]
    );
    assert_eq!(decoded.errors.len(), 1);
    assert_eq!(decoded.errors[0].at, 1);
    assert_eq!(decoded.columns[0].as_primitive::<Int32Type>().value(3), 4);
    assert!(decoded.columns[1].is_null(3));
}

type KeyCase = (KeyFormat, KeyWindow, ArrayRef, Option<(i64, i64)>, Vec<u8>);

#[test]
fn keys_lie_as_kafka_writes_them() {
    let table: Vec<KeyCase> = vec![
        (
            KeyFormat::Kafka,
            KeyWindow::None,
            Arc::new(StringArray::from(vec!["AA"])),
            None,
            b"AA".to_vec(),
        ),
        (
            KeyFormat::Kafka,
            KeyWindow::None,
            Arc::new(Int64Array::from(vec![258])),
            None,
            vec![0, 0, 0, 0, 0, 0, 1, 2],
        ),
        (
            KeyFormat::Json,
            KeyWindow::None,
            Arc::new(StringArray::from(vec!["A\""])),
            None,
            br#""A\"""#.to_vec(),
        ),
        (
            KeyFormat::Kafka,
            KeyWindow::Fixed { size_ms: 1000 },
            Arc::new(StringArray::from(vec!["k"])),
            Some((256, 1256)),
            vec![b'k', 0, 0, 0, 0, 0, 0, 1, 0],
        ),
        (
            KeyFormat::Kafka,
            KeyWindow::Session,
            Arc::new(StringArray::from(vec!["k"])),
            Some((1, 2)),
            vec![b'k', 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1],
        ),
    ];
    for (format, window, column, times, bytes) in table {
        let fields = vec![field("K", column.data_type().clone())];
        let key =
            KeyEncoder::new(format, window, &fields)
                .unwrap()
                .encode(std::slice::from_ref(&column), 0, times);
        assert_eq!(key.as_deref(), Some(bytes.as_slice()));
        let decoded = KeyDecoder::new(format, window, fields)
            .unwrap()
            .decode([Some(bytes.as_slice())].into_iter());
        assert_eq!(decoded.keys.states, [RowState::Value]);
        assert_eq!(&decoded.keys.columns[0], &column);
        let got = decoded.window.map(|(start, end)| (start.value(0), end.value(0)));
        assert_eq!(got, times);
    }
    let short = KeyDecoder::new(
        KeyFormat::Kafka,
        KeyWindow::Session,
        vec![field("K", DataType::Utf8)],
    )
    .unwrap()
    .decode([Some(b"abc".as_slice()), None].into_iter());
    assert_eq!(short.keys.states, [RowState::Failed, RowState::Tombstone]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(texts in proptest::collection::vec(".*", 1..8), numbers in proptest::collection::vec(any::<i64>(), 8)) {
        let fields = vec![field("A\"b", DataType::Utf8), field("N", DataType::Int64)];
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(Int64Array::from(numbers[..texts.len()].to_vec())),
        ];
        let encoder = JsonEncoder::new(&fields).unwrap();
        let rows: Vec<Vec<u8>> = (0..texts.len()).map(|row| {
            let mut out = Vec::new();
            encoder.encode(&columns, row, &mut out);
            out
        }).collect();
        for row in &rows {
            serde_json::from_slice::<serde_json::Value>(row).unwrap();
        }
        let decoded = JsonDecoder::new(fields).unwrap().decode(rows.iter().map(|row| Some(row.as_slice())));
        prop_assert!(decoded.errors.is_empty());
        prop_assert_eq!(&decoded.columns[0], &columns[0]);
        prop_assert_eq!(decoded.columns[1].as_primitive::<Int64Type>(), columns[1].as_primitive::<Int64Type>());
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "[\\[\\]{}\",:a1.e\\\\ -]{0,40}") {
        let fields = vec![field("A", DataType::Utf8), field("L", DataType::List(field("item", DataType::Int32)))];
        let decoder = JsonDecoder::new(fields).unwrap();
        let decoded = decoder.decode([Some(bytes.as_slice()), Some(text.as_bytes())].into_iter());
        prop_assert_eq!(decoded.columns[1].len(), 2);
        // Whatever the strict parser reads as an object, so do we.
        if let Ok(serde_json::Value::Object(_)) = serde_json::from_str::<serde_json::Value>(&text) {
            prop_assert!(decoded.states[1] != RowState::Tombstone);
        }
    }
}
