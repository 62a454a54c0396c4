//! Any split of the input into batches gives the same output (sql.md 7), and a fold with a restore changes nothing.
#![allow(clippy::unwrap_used)]

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use millstream_operators::{Batch, Pipeline, PullRows, RowChange, RowErrors};
use millstream_parser::parse_statement;
use millstream_planner::{Metastore, NodeKind, Plan, SessionProperties, SubTopology, plan};
use proptest::prelude::*;
use std::ops::Bound;
use std::sync::Arc;

const QUERIES: [&str; 3] = [
    "CREATE STREAM o AS SELECT k, v * 2 AS d FROM s WHERE v > 0;",
    "CREATE TABLE o AS SELECT k, COUNT(*) AS n, SUM(v) AS s, LATEST_BY_OFFSET(v) AS l FROM s GROUP BY k HAVING SUM(v) > 3;",
    "CREATE TABLE o AS SELECT k, COUNT(v) AS n, MIN(v) AS lo, MAX(v) AS hi FROM s
     WINDOW TUMBLING (SIZE 10 MILLISECONDS, GRACE PERIOD 5 MILLISECONDS) GROUP BY k;",
];

fn sub_topology(text: &str) -> SubTopology {
    let mut metastore = Metastore::new();
    let source =
        "CREATE STREAM s (k STRING KEY, v BIGINT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);";
    let planned = |text: &str, metastore: &Metastore| {
        plan(
            &parse_statement(text).unwrap().node,
            metastore,
            &SessionProperties::new(),
        )
        .unwrap()
    };
    let Plan::CreateSource(create) = planned(source, &metastore) else {
        panic!("a source")
    };
    metastore.put_source(create.source);
    let Plan::CreateQuery(create) = planned(text, &metastore) else {
        panic!("a query")
    };
    assert_eq!(
        create.query.topology.sub_topologies.len(),
        1,
        "keyed rows need no repartition"
    );
    create.query.topology.sub_topologies[0].clone()
}

type Row = (u8, Option<i64>, i64);

fn batch(sub: &SubTopology, rows: &[Row]) -> Batch {
    let source = sub
        .nodes
        .iter()
        .find(|node| matches!(node.kind, NodeKind::Source(_)))
        .unwrap();
    let schema = source.schema.arrow_schema();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| -> ArrayRef {
            match field.name().as_str() {
                "K" => Arc::new(StringArray::from_iter_values(
                    rows.iter().map(|row| format!("k{}", row.0)),
                )),
                "V" => Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
                _ => Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
            }
        })
        .collect();
    let times = rows.iter().map(|row| row.2).collect();
    Batch::inserts(RecordBatch::try_new(schema, columns).unwrap(), times)
}

type Output = (Vec<RecordBatch>, Vec<i64>, Vec<RowChange>, RowErrors);

fn take(out: &mut Output, batch: Batch) {
    out.2.extend((0..batch.len()).map(|row| batch.change(row)));
    out.1.extend(&batch.times);
    out.0.push(batch.rows);
}

fn same(left: &Output, right: &Output) {
    let whole = |out: &Output| concat_batches(&out.0[0].schema(), &out.0).unwrap();
    assert_eq!(whole(left), whole(right));
    assert_eq!((&left.1, &left.2, &left.3), (&right.1, &right.2, &right.3));
}

/// State as a checkpoint would carry it into a new pipeline.
fn restored(
    old: &mut Pipeline,
    sub: &SubTopology,
    held: &mut std::collections::BTreeMap<String, (millstream_operators::StoreChange, Vec<u8>)>,
) -> Pipeline {
    for change in old.changes() {
        let name = format!("{}/{:?}", change.store, change.key);
        match change.value.clone() {
            Some(value) => held.insert(name, (change, value)),
            None => held.remove(&name),
        };
    }
    let mut new = Pipeline::new(sub);
    for (change, value) in held.values() {
        new.load(&change.store, change.key.clone(), value).unwrap();
    }
    new.restore_times(&old.stream_times());
    new
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn cuts_and_restores_do_not_matter(
        rows in proptest::collection::vec((0..3_u8, proptest::option::weighted(0.9, -5..9_i64), 0..60_i64), 1..60),
        cuts in proptest::collection::vec(1..7_usize, 60),
    ) {
        for text in QUERIES {
            let sub = sub_topology(text);
            let mut whole = Output::default();
            let mut pipeline = Pipeline::new(&sub);
            let out = pipeline.process(batch(&sub, &rows), &mut whole.3).unwrap();
            take(&mut whole, out);

            let mut parts = Output::default();
            let mut cut_pipeline = Pipeline::new(&sub);
            let mut held = std::collections::BTreeMap::new();
            let mut rest = rows.as_slice();
            for cut in cuts.iter().copied() {
                if rest.is_empty() { break }
                let (part, tail) = rest.split_at(cut.min(rest.len()));
                rest = tail;
                let out = cut_pipeline.process_some(&batch(&sub, part), &mut parts.3).unwrap().unwrap();
                take(&mut parts, out);
                if cut % 2 == 0 {
                    cut_pipeline = restored(&mut cut_pipeline, &sub, &mut held);
                }
            }
            same(&whole, &parts);

            // What is pulled is the last of what was put out, once it is committed and not before.
            if pipeline.is_stateful() {
                let all = PullRows { keys: None, windows: (Bound::Unbounded, Bound::Unbounded) };
                prop_assert_eq!(pipeline.pull(all).unwrap().unwrap().len(), 0);
                pipeline.fold();
                cut_pipeline.fold();
                let (left, right) = (pipeline.pull(all).unwrap().unwrap(), cut_pipeline.pull(all).unwrap().unwrap());
                let whole = left.rows(0, left.len()).unwrap();
                prop_assert_eq!(&whole.rows, &right.rows(0, right.len()).unwrap().rows);
                // A part at a time comes to the same.
                let parts = (0..right.len()).map(|row| right.rows(row, 1).unwrap());
                let times: Vec<i64> = parts.flat_map(|part| part.times).collect();
                prop_assert_eq!(&whole.times, &times);
            }
        }
    }
}

/// More than a pass may make changes nothing, wherever in it; with fewer rows all goes through.
#[test]
fn rows_of_which_too_much_would_be_made_are_not_taken() {
    for text in [
        "CREATE STREAM o AS SELECT k, LEN(LPAD('x', CAST(v AS INT), 'y')) AS l FROM s WHERE v > 0;",
        "CREATE TABLE o AS SELECT k, SUM(LEN(LPAD('x', CAST(v AS INT), 'y'))) AS l FROM s GROUP BY k;",
    ] {
        let sub = sub_topology(text);
        let mut pipeline = Pipeline::new(&sub);
        let heavy = |key: u8| (key, Some(8_000_000), i64::from(key));
        let rows: Vec<Row> = (0..12).map(heavy).collect();
        let mut row_errors = Vec::new();
        assert!(
            pipeline
                .process_some(&batch(&sub, &rows), &mut row_errors)
                .unwrap()
                .is_none()
        );
        assert!(row_errors.is_empty() && pipeline.changes().is_empty());
        let mut taken = 0;
        for part in rows.chunks(3) {
            taken += pipeline
                .process_some(&batch(&sub, part), &mut row_errors)
                .unwrap()
                .unwrap()
                .len();
        }
        assert_eq!((taken, row_errors), (12, Vec::new()), "{text}");
    }
}
