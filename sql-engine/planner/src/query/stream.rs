//! The nodes from a source to the rows of a SELECT, for persistent and push queries.

use super::{Analysis, Item, ItemExpr};
use crate::bind::aggregate::Aggregates;
use crate::bind::{Binder, Scope, ScopeColumn};
use crate::canonical::canonical;
use crate::hash::{aggregate_store, table_store};
use crate::{
    AggregateNode, BoundExpr, Column, KeyFormat, NamedExpr, Node, NodeId, NodeKind, NullKeys, RowKind,
    RowSchema, SourceNode, SubTopology, SubTopologyId, Topology, TumblingWindow,
};
use millstream_model::limits::SQL_COLUMNS_MAX;
use millstream_parser::{Expr, Query, SourceKind, SqlError, SqlType};
use std::collections::{HashMap, HashSet};

const DAY_MS: i64 = 86_400_000;

/// Nodes as they are added, one after the other.
pub struct Builder {
    done: Vec<SubTopology>,
    nodes: Vec<Node>,
    next_id: u32,
    partitions: u32,
}

impl Builder {
    pub fn new(partitions: u32) -> Builder {
        Builder {
            done: Vec::new(),
            nodes: Vec::new(),
            next_id: 0,
            partitions,
        }
    }

    /// Where the next node stands in the plan.
    fn position(&self) -> u32 {
        self.next_id
    }

    pub fn add(&mut self, kind: NodeKind, schema: RowSchema) {
        let inputs = self.nodes.last().map(|node| node.id).into_iter().collect();
        self.nodes.push(Node {
            id: NodeId(self.next_id),
            inputs,
            kind,
            schema,
        });
        self.next_id += 1;
    }

    /// Cuts here: what follows runs in the partition that a row's key hashes to.
    fn repartition(&mut self, schema: &RowSchema) {
        self.add(
            NodeKind::RepartitionSink {
                partitions: self.partitions,
            },
            schema.clone(),
        );
        let from = self.sub_id();
        self.close();
        self.add(NodeKind::RepartitionSource { from }, schema.clone());
    }

    fn sub_id(&self) -> SubTopologyId {
        SubTopologyId(u32::try_from(self.done.len()).unwrap_or(u32::MAX))
    }

    fn close(&mut self) {
        let nodes = std::mem::take(&mut self.nodes);
        self.done.push(SubTopology {
            id: self.sub_id(),
            nodes,
            partitions: self.partitions,
        });
    }

    pub fn finish(mut self) -> Topology {
        self.close();
        Topology {
            sub_topologies: self.done,
        }
    }
}

/// The rows of a SELECT: key columns, then every selected item that is no key.
pub struct Selected {
    pub builder: Builder,
    /// What the expressions below are bound to.
    pub input: RowSchema,
    /// The key of the result, in order.
    pub keys: Vec<SelectedKey>,
    pub window: Option<TumblingWindow>,
    /// For every item: its expression, and which key it selects (as it is), if it does.
    pub items: Vec<(NamedExpr, Option<usize>)>,
}

/// One key column of a result.
pub struct SelectedKey {
    pub name: String,
    pub expr: BoundExpr,
}

/// Plans everything up to the selected expressions.
pub fn select(analysis: &Analysis) -> Result<Selected, SqlError> {
    let query = analysis.query;
    let mut builder = Builder::new(analysis.source.partitions);
    let schema = analysis.schema();
    let store = (schema.kind == RowKind::Table).then(|| {
        let keys = if schema.windowed {
            &schema.columns[..schema.values_from()]
        } else {
            schema.keys()
        };
        table_store(builder.position(), keys, &schema.columns)
    });
    let source = SourceNode {
        source: analysis.source.clone(),
        fields: analysis.fields.clone(),
        store,
    };
    builder.add(NodeKind::Source(source), schema.clone());
    if let Some(filter) = &query.filter {
        let predicate = Binder::new(&analysis.scope).predicate(filter, "WHERE")?;
        builder.add(NodeKind::Filter { predicate }, schema.clone());
    }
    if query.group_span.is_some() {
        return grouped(analysis, builder, schema);
    }
    refuse_without_group(query, analysis)?;
    let mut binder = Binder::new(&analysis.scope);
    let keys = if query.partition_span.is_some() {
        keys(&mut binder, &query.partition_by, &analysis.items)?
    } else {
        let own = analysis.scope.columns[..analysis.source.key_count].iter();
        own.map(|column| key_column(column, &analysis.items)).collect()
    };
    let items = bind_items(&mut binder, &analysis.items, &keys)?;
    Ok(Selected {
        builder,
        input: schema,
        keys,
        window: None,
        items,
    })
}

/// Clauses that only make sense with GROUP BY.
fn refuse_without_group(query: &Query, analysis: &Analysis) -> Result<(), SqlError> {
    if let Some(window) = &query.window {
        return Err(SqlError::invalid(window.span, "WINDOW needs a GROUP BY"));
    }
    if let Some(having) = &query.having {
        return Err(SqlError::invalid(having.span, "HAVING needs a GROUP BY"));
    }
    if let Some(span) = query.partition_span
        && analysis.source.kind == SourceKind::Table
    {
        return Err(SqlError::invalid(
            span,
            "PARTITION BY works on streams only, a table's key is fixed",
        ));
    }
    analysis.refuse_aggregates("needs a GROUP BY")
}

/// A source's own key column as a key of the result, under the name it is selected by.
fn key_column(column: &ScopeColumn, items: &[Item]) -> SelectedKey {
    let text = crate::canonical::quoted(&column.name);
    let name = items
        .iter()
        .find(|item| item.text() == text)
        .map_or(column.name.clone(), |item| item.name.clone());
    let expr = std::sync::Arc::new(datafusion_physical_expr::expressions::Column::new(
        &column.name,
        column.index,
    ));
    SelectedKey {
        name,
        expr: BoundExpr::new(expr, column.sql_type.clone(), text, false),
    }
}

/// GROUP BY's or PARTITION BY's expressions, under the names they are selected by.
fn keys(binder: &mut Binder, exprs: &[Expr], items: &[Item]) -> Result<Vec<SelectedKey>, SqlError> {
    let mut keys: Vec<SelectedKey> = Vec::new();
    if let Some(surplus) = exprs.get(SQL_COLUMNS_MAX) {
        let message = format!("more than {SQL_COLUMNS_MAX} keys");
        return Err(SqlError::limit(surplus.span.start, message));
    }
    // Of several items with one text the first counts.
    let by_text: HashMap<String, &Item> = items.iter().rev().map(|item| (item.text(), item)).collect();
    let mut seen = HashSet::new();
    for expr in exprs {
        let bound = binder.bind(expr)?;
        if !seen.insert(bound.text().to_owned()) {
            return Err(SqlError::invalid(
                expr.span,
                format!("the key {} is there twice", bound.text()),
            ));
        }
        let selected = by_text.get(bound.text());
        let name = match (selected, &expr.kind) {
            (Some(item), _) => item.name.clone(),
            (None, millstream_parser::ExprKind::Column { name, .. }) => name.name.clone(),
            (None, millstream_parser::ExprKind::Field { field, .. }) => field.name.clone(),
            (None, _) => format!("KSQL_KEY_{}", keys.len()),
        };
        if bound.sql_type().is_primitive()
            || matches!(bound.sql_type(), SqlType::Struct(_) | SqlType::Array(_))
        {
            keys.push(SelectedKey { name, expr: bound });
        } else {
            return Err(SqlError::invalid(
                expr.span,
                format!("a key cannot be of type {}", bound.sql_type()),
            ));
        }
    }
    Ok(keys)
}

fn bind_items(
    binder: &mut Binder,
    items: &[Item],
    keys: &[SelectedKey],
) -> Result<Vec<(NamedExpr, Option<usize>)>, SqlError> {
    let mut bound = Vec::new();
    for item in items {
        let expr = match &item.expr {
            ItemExpr::Written(expr) => binder.bind(expr)?,
            ItemExpr::Star(name) => binder.column_by_name(name, item.span)?,
        };
        let key = keys.iter().position(|key| key.expr.text() == expr.text());
        bound.push((
            NamedExpr {
                name: item.name.clone(),
                expr,
            },
            key,
        ));
    }
    Ok(bound)
}

fn grouped(analysis: &Analysis, mut builder: Builder, schema: RowSchema) -> Result<Selected, SqlError> {
    let query = analysis.query;
    refuse_with_group(analysis, &schema)?;
    let keys = keys(
        &mut Binder::new(&analysis.scope),
        &query.group_by,
        &analysis.items,
    )?;
    let window = query.window.as_ref().map(tumbling).transpose()?;
    let (input, rekeyed) = rekey(analysis, &mut builder, &schema, &keys);
    let output = aggregate_output(&keys, window.is_some());
    let scope = group_scope(analysis, &output, &keys);
    let retracts = schema.kind == RowKind::Table;
    let mut aggregates = Aggregates::new(rekeyed, output.columns.len(), retracts);
    let mut binder = Binder::aggregating(&scope, &mut aggregates);
    let having = query
        .having
        .as_ref()
        .map(|having| binder.predicate(having, "HAVING"))
        .transpose()?;
    let items = bind_items(&mut binder, &analysis.items, &keys)?;
    let calls = aggregates.into_calls();
    let output = with_aggregates(output, &calls);
    let store = aggregate_store(builder.position(), input.keys(), &calls, window.as_ref());
    builder.add(
        NodeKind::Aggregate(AggregateNode {
            window,
            aggregates: calls,
            store,
        }),
        output.clone(),
    );
    if let Some(predicate) = having {
        builder.add(NodeKind::Filter { predicate }, output.clone());
    }
    Ok(Selected {
        builder,
        keys: keys_of_groups(keys, &output),
        input: output,
        window,
        items,
    })
}

/// What GROUP BY does not go with.
fn refuse_with_group(analysis: &Analysis, schema: &RowSchema) -> Result<(), SqlError> {
    let query = analysis.query;
    if let Some(span) = query.partition_span {
        return Err(SqlError::invalid(
            span,
            "PARTITION BY and GROUP BY exclude each other",
        ));
    }
    if schema.windowed {
        return Err(SqlError::unsupported(
            query.from.name.span,
            "GROUP BY over a windowed source",
        ));
    }
    if let (Some(window), RowKind::Table) = (&query.window, schema.kind) {
        return Err(SqlError::invalid(
            window.span,
            "WINDOW works on streams only, a table has one row per key",
        ));
    }
    let is_star = |item: &&Item| matches!(item.expr, ItemExpr::Star(_));
    match analysis.items.iter().find(is_star) {
        None => Ok(()),
        Some(star) => Err(SqlError::invalid(
            star.span,
            "* cannot be selected with GROUP BY; name the columns",
        )),
    }
}

/// What may be named behind a GROUP BY: the keys, by the text of their expressions, and the window's bounds, by name.
fn group_scope(analysis: &Analysis, output: &RowSchema, keys: &[SelectedKey]) -> Scope {
    let mut scope = scope_of(output, analysis);
    scope.texts = keys
        .iter()
        .zip(&scope.columns)
        .map(|(key, column)| (key.expr.text().to_owned(), column.clone()))
        .collect();
    scope.columns.retain(|column| column.index >= keys.len());
    scope
}

/// A group's keys as columns of its result, where they come first.
fn keys_of_groups(keys: Vec<SelectedKey>, output: &RowSchema) -> Vec<SelectedKey> {
    let key = |(index, (key, column)): (usize, (SelectedKey, &crate::Column))| {
        let expr = datafusion_physical_expr::expressions::Column::new(&column.name, index);
        let text = key.expr.text().to_owned();
        let expr = BoundExpr::new(std::sync::Arc::new(expr), column.sql_type.clone(), text, false);
        SelectedKey { name: key.name, expr }
    };
    keys.into_iter()
        .zip(&output.columns)
        .enumerate()
        .map(key)
        .collect()
}

/// Brings rows under the group's key, unless they are there already: then nothing moves. Returns the layout of
/// the rows and what the aggregates' arguments may name.
fn rekey(
    analysis: &Analysis,
    builder: &mut Builder,
    schema: &RowSchema,
    keys: &[SelectedKey],
) -> (RowSchema, Scope) {
    let source_keys = schema
        .keys()
        .iter()
        .map(|key| crate::canonical::quoted(&key.name));
    let keyed = analysis.source.key_count > 0
        && analysis.source.key_format != KeyFormat::None
        && source_keys.eq(keys.iter().map(|key| key.expr.text().to_owned()));
    let mut scope = analysis.scope.clone();
    if keyed {
        return (schema.clone(), scope);
    }
    let named = |(at, key): (usize, &SelectedKey)| NamedExpr {
        name: format!("GROUP_{at}"),
        expr: key.expr.clone(),
    };
    let exprs: Vec<NamedExpr> = keys.iter().enumerate().map(named).collect();
    let mut columns: Vec<Column> = exprs
        .iter()
        .map(|key| Column::new(key.name.clone(), key.expr.sql_type().clone()))
        .collect();
    columns.extend(schema.columns.iter().cloned());
    let rekeyed = RowSchema {
        kind: schema.kind,
        columns,
        key_count: keys.len(),
        windowed: false,
    };
    builder.add(
        NodeKind::Rekey {
            keys: exprs,
            null_keys: NullKeys::Drop,
        },
        rekeyed.clone(),
    );
    builder.repartition(&rekeyed);
    scope
        .columns
        .iter_mut()
        .for_each(|column| column.index += keys.len());
    (rekeyed, scope)
}

/// Keys and window bounds of an aggregation's result.
fn aggregate_output(keys: &[SelectedKey], windowed: bool) -> RowSchema {
    let mut columns: Vec<Column> = keys
        .iter()
        .map(|key| Column::new(key.name.clone(), key.expr.sql_type().clone()))
        .collect();
    if windowed {
        columns.extend(["WINDOWSTART", "WINDOWEND"].map(|name| Column::new(name, SqlType::BigInt)));
    }
    RowSchema {
        kind: RowKind::Table,
        columns,
        key_count: keys.len(),
        windowed,
    }
}

fn with_aggregates(mut output: RowSchema, calls: &[crate::AggregateCall]) -> RowSchema {
    output.columns.extend(
        calls
            .iter()
            .map(|call| Column::new(call.name.clone(), call.result_type.clone())),
    );
    output
}

fn scope_of(schema: &RowSchema, analysis: &Analysis) -> Scope {
    let columns = schema.columns.iter().enumerate();
    Scope {
        qualifiers: analysis.scope.qualifiers.clone(),
        columns: columns
            .map(|(at, c)| ScopeColumn::new(c.name.clone(), c.sql_type.clone(), at))
            .collect(),
        texts: Vec::new(),
        ungrouped: analysis.scope.ungrouped.clone(),
    }
}

/// A window with ksqlDB's defaults: a day of grace, a day of retention or as long as rows may come.
fn tumbling(window: &millstream_parser::Window) -> Result<TumblingWindow, SqlError> {
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let size_ms = ms(window.size.node);
    let grace_ms = window.grace.as_ref().map_or(DAY_MS, |grace| ms(grace.node));
    let Some(least) = size_ms.checked_add(grace_ms) else {
        return Err(SqlError::invalid(
            window.span,
            "the window's size and grace do not fit 64 bits of milliseconds",
        ));
    };
    let retention_ms = match &window.retention {
        None => least.max(DAY_MS),
        Some(retention) if ms(retention.node) >= least => ms(retention.node),
        Some(retention) if window.grace.is_none() && ms(retention.node) >= size_ms => {
            // Without a stated grace, rows may be as late as the retention allows.
            return Ok(TumblingWindow {
                size_ms,
                grace_ms: ms(retention.node) - size_ms,
                retention_ms: ms(retention.node),
            });
        }
        Some(retention) => {
            let message = "RETENTION must be at least the window's SIZE and its GRACE PERIOD together";
            return Err(SqlError::invalid(retention.span, message));
        }
    };
    Ok(TumblingWindow {
        size_ms,
        grace_ms,
        retention_ms,
    })
}

/// The windows' bounds of a layout, as expressions.
pub fn window_bounds(schema: &RowSchema) -> Vec<NamedExpr> {
    let Some(start) = schema.window_start_index() else {
        return Vec::new();
    };
    ["WINDOWSTART", "WINDOWEND"]
        .into_iter()
        .zip(start..)
        .map(|(name, index)| {
            let expr = std::sync::Arc::new(datafusion_physical_expr::expressions::Column::new(name, index));
            let expr = BoundExpr::new(expr, SqlType::BigInt, name.to_owned(), false);
            NamedExpr {
                name: name.to_owned(),
                expr,
            }
        })
        .collect()
}

/// The layout that a projection makes.
pub fn projected(columns: &[NamedExpr], key_count: usize, windowed: bool, kind: RowKind) -> RowSchema {
    let columns = columns
        .iter()
        .map(|c| Column::new(c.name.clone(), c.expr.sql_type().clone()))
        .collect();
    RowSchema {
        kind,
        columns,
        key_count,
        windowed,
    }
}

/// GROUP BY's canonical text, for errors.
pub fn key_text(keys: &[Expr]) -> String {
    keys.iter().map(canonical).collect::<Vec<_>>().join(", ")
}
