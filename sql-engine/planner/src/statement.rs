//! From a statement to its plan.

mod create_source;

use crate::bind::aggregate;
use crate::bind::constant;
use crate::canonical::quoted;
use crate::query::{self, CreateAs, find_source};
use crate::{
    DropPlan, ExplainPlan, InsertPlan, InsertRow, Metastore, Plan, PrintPlan, PullAccess, SessionProperties,
    Source, arrow_type,
};
use datafusion_common::ScalarValue;
use millstream_functions as functions;
use millstream_model::limits::SQL_INSERT_VALUES_MAX;
use millstream_parser::{
    Explained, Expr, Ident, IfTaken, Query, SourceKind, Spanned, SqlError, SqlType, Statement, Terminated,
    closest,
};
use std::sync::Arc;

/// Plans one statement against a snapshot of the catalog.
///
/// # Errors
/// What is wrong and where, in the positions of the text the statement was parsed from; give that text to
/// [`SqlError::with_text`] to show the line.
pub fn plan(
    statement: &Statement,
    metastore: &Metastore,
    session: &SessionProperties,
) -> Result<Plan, SqlError> {
    match statement {
        Statement::CreateSource {
            kind,
            name,
            if_taken,
            columns,
            properties,
        } => {
            if let Some(nothing) = taken(metastore, name, *kind, *if_taken)? {
                return Ok(nothing);
            }
            let create = create_source::Create {
                kind: *kind,
                name,
                if_taken: *if_taken,
                columns,
            };
            create_source::plan(&create, properties, metastore).map(Plan::CreateSource)
        }
        Statement::CreateAs {
            kind,
            name,
            if_taken,
            properties,
            query,
        } => {
            let create = CreateAs {
                kind: *kind,
                name,
                if_taken: *if_taken,
                properties,
                query,
            };
            create_as(&create, metastore)
        }
        Statement::Select(select) if select.emit.is_some() => {
            Ok(Plan::Push(Box::new(query::push(select, metastore)?)))
        }
        Statement::Select(select) => pull(select, metastore, session),
        Statement::InsertValues {
            target,
            columns,
            rows,
        } => insert(target, columns, rows, metastore).map(Plan::Insert),
        Statement::Print {
            topic,
            from_beginning,
            interval,
            limit,
        } => {
            let partitions = find_topic(metastore, topic)?;
            Ok(Plan::Print(PrintPlan {
                topic: topic.node.clone(),
                partitions,
                from_beginning: *from_beginning,
                interval: interval.unwrap_or(1),
                limit: *limit,
            }))
        }
        Statement::Set { key, value } => {
            let name = SessionProperties::check(key, Some(value))?;
            Ok(Plan::Set {
                key: name,
                value: value.node.clone(),
            })
        }
        Statement::Unset { key } => Ok(Plan::Unset {
            key: SessionProperties::check(key, None)?,
        }),
        Statement::Show { what, extended } => Ok(Plan::Show {
            what: *what,
            extended: *extended,
        }),
        Statement::Describe { name, extended } => Ok(Plan::Describe {
            source: find_source(metastore, name)?,
            extended: *extended,
        }),
        Statement::DescribeFunction { name } => describe_function(name),
        Statement::Explain(Explained::Query(id)) => {
            find_query(metastore, id).map(|id| Plan::Explain(ExplainPlan::Query(id)))
        }
        Statement::Explain(Explained::Statement(inner)) => {
            let inner = plan(&inner.node, metastore, session)?;
            Ok(Plan::Explain(ExplainPlan::Plan(Box::new(inner))))
        }
        Statement::Drop {
            kind,
            name,
            if_exists,
            delete_topic,
        } => drop_source(*kind, name, *if_exists, *delete_topic, metastore),
        Statement::Terminate(Terminated::All) => Ok(Plan::TerminateAll),
        Statement::Terminate(Terminated::Query(id)) => {
            find_query(metastore, id).map(|query| Plan::Terminate { query })
        }
    }
}

fn create_as(create: &CreateAs, metastore: &Metastore) -> Result<Plan, SqlError> {
    if create.if_taken == IfTaken::Replace && metastore.source(&create.name.name).is_some() {
        return Err(SqlError::unsupported(
            create.name.span,
            "OR REPLACE of a query that exists",
        ));
    }
    match taken(metastore, create.name, create.kind, create.if_taken)? {
        Some(nothing) => Ok(nothing),
        None => Ok(Plan::CreateQuery(Box::new(query::create_as(create, metastore)?))),
    }
}

fn pull(select: &Query, metastore: &Metastore, session: &SessionProperties) -> Result<Plan, SqlError> {
    let pull = query::pull(select, metastore)?;
    let scans = pull.access == PullAccess::Scan && pull.source.kind == SourceKind::Table;
    if scans && session.get("ksql.query.pull.table.scan.enabled") == Some("false") {
        let message = "the query reads the whole table, which \
            'ksql.query.pull.table.scan.enabled' = 'false' forbids; say which keys with WHERE";
        return Err(SqlError::invalid(select.from.name.span, message));
    }
    Ok(Plan::Pull(Box::new(pull)))
}

/// What happens when the name of a CREATE is taken; None when it is free or replaced.
fn taken(
    metastore: &Metastore,
    name: &Ident,
    kind: SourceKind,
    if_taken: IfTaken,
) -> Result<Option<Plan>, SqlError> {
    let Some(existing) = metastore.source(&name.name) else {
        return Ok(None);
    };
    let is = match existing.kind {
        SourceKind::Stream => "stream",
        SourceKind::Table => "table",
    };
    match if_taken {
        IfTaken::Skip => Ok(Some(Plan::Nothing(format!("a {is} named {name} exists already")))),
        IfTaken::Fail => {
            let message = format!("a {is} named {name} exists already");
            Err(SqlError::invalid(name.span, message))
        }
        IfTaken::Replace if existing.kind != kind => Err(SqlError::invalid(
            name.span,
            format!("{name} is a {is} and cannot be replaced by a {kind}"),
        )),
        IfTaken::Replace if metastore.queries().any(|query| query.writes == existing.name) => {
            Err(SqlError::invalid(
                name.span,
                format!("{name} is written by a query and cannot be replaced"),
            ))
        }
        IfTaken::Replace => Ok(None),
    }
}

fn insert(
    target: &Ident,
    columns: &[Ident],
    rows: &[Vec<Expr>],
    metastore: &Metastore,
) -> Result<InsertPlan, SqlError> {
    let source = find_source(metastore, target)?;
    if source.is_windowed() {
        return Err(SqlError::invalid(
            target.span,
            format!("{target} is windowed: rows cannot be inserted"),
        ));
    }
    if let Some(query) = metastore
        .queries()
        .find(|query| query.writes == source.name && source.kind == SourceKind::Table)
    {
        let message = format!(
            "the table {target} is written by the query {}: rows cannot be inserted",
            query.id
        );
        return Err(SqlError::invalid(target.span, message));
    }
    if rows.len().saturating_mul(source.columns.len()) > SQL_INSERT_VALUES_MAX {
        let message = format!(
            "{} rows of {} columns at once, at most {SQL_INSERT_VALUES_MAX} values are allowed",
            rows.len(),
            source.columns.len()
        );
        return Err(SqlError::limit(target.span.start, message));
    }
    // Where each value goes; None is ROWTIME.
    let mut places: Vec<Option<usize>> = Vec::new();
    for column in columns {
        let at = source.columns.iter().position(|known| known.name == column.name);
        if at.is_none() && column.name != "ROWTIME" {
            let mut message = format!("unknown column {column}");
            if let Some(closest) = closest(&column.name, source.columns.iter().map(|c| c.name.as_str())) {
                message.push_str(&format!(" (did you mean {}?)", quoted(closest)));
            }
            return Err(SqlError::invalid(column.span, message));
        }
        places.push(at);
    }
    if columns.is_empty() {
        places = (0..source.columns.len()).map(Some).collect();
    }
    let rows = rows.iter().map(|row| insert_row(target, &source, &places, row));
    Ok(InsertPlan {
        rows: rows.collect::<Result<_, _>>()?,
        target: source,
    })
}

fn insert_row(
    target: &Ident,
    source: &Source,
    places: &[Option<usize>],
    row: &[Expr],
) -> Result<InsertRow, SqlError> {
    let span = row.first().map_or(target.span, |first| first.span);
    if row.len() != places.len() {
        let message = format!("expected {} values, found {}", places.len(), row.len());
        return Err(SqlError::invalid(span, message));
    }
    let nulls = source
        .columns
        .iter()
        .map(|column| ScalarValue::try_from(&arrow_type(&column.sql_type)));
    let mut values = nulls
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| SqlError::invalid(span, e.strip_backtrace()))?;
    let mut rowtime = None;
    for (place, expr) in places.iter().zip(row) {
        match place {
            Some(at) => values[*at] = constant(expr, &source.columns[*at].sql_type)?,
            None => match constant(expr, &SqlType::BigInt)? {
                ScalarValue::Int64(Some(ms)) if ms >= 0 => rowtime = Some(ms),
                _ => {
                    return Err(SqlError::invalid(
                        expr.span,
                        "ROWTIME must be milliseconds since 1970, not before",
                    ));
                }
            },
        }
    }
    if let (SourceKind::Table, Some(at)) = (
        source.kind,
        values[..source.key_count].iter().position(ScalarValue::is_null),
    ) {
        let message = format!("the primary key {} must not be null", source.columns[at].name);
        return Err(SqlError::invalid(span, message));
    }
    Ok(InsertRow { values, rowtime })
}

fn find_topic(metastore: &Metastore, topic: &Spanned<String>) -> Result<u32, SqlError> {
    if let Some(partitions) = metastore.topic_partitions(&topic.node) {
        return Ok(partitions);
    }
    let mut message = format!("unknown topic {}", topic.node);
    if let Some(closest) = closest(&topic.node, metastore.topics()) {
        message.push_str(&format!(" (did you mean {closest}?)"));
    }
    Err(SqlError::invalid(topic.span, message))
}

/// A query by its id: as it is, or else in any case, for an id holds its sink's name, which may need backquotes.
fn find_query(metastore: &Metastore, id: &Ident) -> Result<String, SqlError> {
    if let Some(query) = metastore.query(&id.name) {
        return Ok(query.id.clone());
    }
    let mut alike = metastore
        .queries()
        .filter(|query| query.id.eq_ignore_ascii_case(&id.name));
    if let (Some(query), None) = (alike.next(), alike.next()) {
        return Ok(query.id.clone());
    }
    let mut message = format!("unknown query {id}");
    if let Some(closest) = closest(&id.name, metastore.queries().map(|query| query.id.as_str())) {
        message.push_str(&format!(" (did you mean {closest}?)"));
    }
    Err(SqlError::invalid(id.span, message))
}

fn describe_function(name: &Ident) -> Result<Plan, SqlError> {
    let known = || {
        functions::functions()
            .map(|facts| facts.name)
            .chain(aggregate::names())
    };
    if known().any(|known| known == name.name) {
        return Ok(Plan::DescribeFunction {
            name: name.name.clone(),
        });
    }
    let mut message = format!("unknown function {name}");
    if let Some(closest) = closest(&name.name, known()) {
        message.push_str(&format!(" (did you mean {closest}?)"));
    }
    Err(SqlError::invalid(name.span, message))
}

fn drop_source(
    kind: SourceKind,
    name: &Ident,
    if_exists: bool,
    delete_topic: bool,
    metastore: &Metastore,
) -> Result<Plan, SqlError> {
    if if_exists && metastore.source(&name.name).is_none() {
        return Ok(Plan::Nothing(format!("no stream or table is named {name}")));
    }
    let source = find_source(metastore, name)?;
    if source.kind != kind {
        let message = format!("{name} is a {}; write DROP {} {name}", source.kind, source.kind);
        return Err(SqlError::invalid(name.span, message));
    }
    let reading: Vec<&str> = metastore
        .queries()
        .filter(|q| q.reads.contains(&source.name))
        .map(|q| q.id.as_str())
        .collect();
    if !reading.is_empty() {
        let message = format!(
            "{name} is read by {}; TERMINATE or DROP what they write first",
            reading.join(", ")
        );
        return Err(SqlError::invalid(name.span, message));
    }
    let terminates = metastore
        .queries()
        .filter(|q| q.writes == source.name)
        .map(|q| q.id.clone())
        .collect();
    Ok(Plan::Drop(DropPlan {
        source: Arc::clone(&source),
        terminates,
        delete_topic,
    }))
}
