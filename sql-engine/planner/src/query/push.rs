//! SELECT … EMIT CHANGES: rows to the caller as they come.

use super::analyse;
use super::stream::{projected, select, window_bounds};
use crate::{Metastore, NamedExpr, NodeKind, PushPlan, RowKind};
use millstream_parser::{Query, SqlError};

pub fn push(query: &Query, metastore: &Metastore) -> Result<PushPlan, SqlError> {
    let analysis = analyse(query, metastore, true)?;
    let mut selected = select(&analysis)?;
    let kind = if selected.input.kind == RowKind::Table {
        RowKind::Table
    } else {
        RowKind::Stream
    };
    let keys = selected.keys.into_iter().map(|key| NamedExpr {
        name: key.name,
        expr: key.expr,
    });
    let mut columns: Vec<NamedExpr> = keys.collect();
    let key_count = columns.len();
    let windowed = selected.input.windowed;
    columns.extend(window_bounds(&selected.input));
    let mut output = Vec::new();
    for (item, _) in selected.items {
        let column = crate::Column::new(item.name.clone(), item.expr.sql_type().clone());
        output.push((columns.len(), column));
        columns.push(item);
    }
    let schema = projected(&columns, key_count, windowed, kind);
    selected
        .builder
        .add(NodeKind::Project { columns }, schema.clone());
    selected.builder.add(NodeKind::Output, schema);
    Ok(PushPlan {
        reads: analysis.source,
        topology: selected.builder.finish(),
        output,
        limit: query.limit.as_ref().map(|limit| limit.node),
    })
}
