//! A script: parsed and checked whole against a scratch copy, then run statement by statement (sql.md 3).

use super::insert::Inserts;
use super::push::RESUME;
use super::{Inner, Out, Stop, session};
use crate::answer::{Access, Answer, Request, StatementError, StatementErrorKind};
use crate::metrics::outcome;
use millstream_parser::{Spanned, Statement, parse_script};
use millstream_planner::{Metastore, Plan, QueryFacts, SessionProperties, plan};
use tokio::sync::mpsc;

type Answers = mpsc::Sender<(u32, Result<Answer, StatementError>)>;

pub(super) async fn run(inner: &Inner, request: Request, answers: Answers) {
    let statements = match checked(inner, &request).await {
        Ok(statements) => statements,
        Err((number, error)) => {
            inner.metrics.statement("script", outcome(error.kind));
            let _ = answers.send((number, Err(error))).await;
            return;
        }
    };
    if request.validate_only {
        return;
    }
    let mut session = session(&request.properties);
    let numbered: Vec<(u32, &Spanned<Statement>)> = (0..).zip(&statements).collect();
    for part in numbered.chunk_by(|(_, one), (_, next)| same_target(&one.node, &next.node)) {
        let ended = match part {
            [(number, statement)] if !is_insert(&statement.node) => {
                let out = out_of(*number, &answers);
                let ended = one(inner, &request, statement, &mut session, &out).await;
                ended.map_err(|stop| (*number, stop))
            }
            inserts => insert_together(inner, &request, inserts, &session, &answers).await,
        };
        count(inner, part, &ended);
        match ended {
            Ok(()) => {}
            Err((_, Stop::Gone)) => return,
            Err((number, Stop::Failed(error))) => {
                let _ = answers.send((number, Err(error))).await;
                return;
            }
        }
    }
}

/// Counts the statements that ran: all of them, or those up to the one that failed.
fn count(inner: &Inner, part: &[(u32, &Spanned<Statement>)], ended: &Result<(), (u32, Stop)>) {
    let failed = match ended {
        Ok(()) => None,
        Err((number, Stop::Gone)) => Some((*number, "client_gone")),
        Err((number, Stop::Failed(error))) => Some((*number, outcome(error.kind))),
    };
    for (number, statement) in part {
        let how = match failed {
            Some((at, _)) if at < *number => continue,
            Some((at, how)) if at == *number => how,
            _ => "ok",
        };
        inner.metrics.statement(kind(&statement.node), how);
    }
}

fn out_of(statement: u32, answers: &Answers) -> Out {
    Out {
        statement,
        answers: answers.clone(),
    }
}

fn is_insert(statement: &Statement) -> bool {
    matches!(statement, Statement::InsertValues { .. })
}

/// Both insert into the same source.
fn same_target(one: &Statement, next: &Statement) -> bool {
    match (one, next) {
        (Statement::InsertValues { target: one, .. }, Statement::InsertValues { target: next, .. }) => {
            one.name == next.name
        }
        _ => false,
    }
}

/// INSERTs into one source, one after the other: a write of its own for each would make a file of thousands wait
/// thousands of times. An error comes with its statement's number; what stands before it is written.
async fn insert_together(
    inner: &Inner,
    request: &Request,
    statements: &[(u32, &Spanned<Statement>)],
    session: &SessionProperties,
    answers: &Answers,
) -> Result<(), (u32, Stop)> {
    let first = statements.first().map_or(0, |(number, _)| *number);
    let rows = inner.known().await;
    let known = inner.metastore(&rows).await;
    drop(rows);
    let known = known.map_err(|error| (first, Stop::Failed(error)))?;
    let mut inserts = Inserts::default();
    for (number, statement) in statements {
        let added = match plan(&statement.node, &known, session) {
            Ok(Plan::Insert(insert)) => {
                let text = statement_text(statement, request);
                inner.encode_insert(&insert, text, out_of(*number, answers), &mut inserts)
            }
            Ok(_) => Err(StatementError::internal(
                "an INSERT was planned as something else",
            )),
            Err(error) => Err(StatementError::of_sql(error, &request.text)),
        };
        if added.is_err() || inserts.is_full() {
            written(inner, std::mem::take(&mut inserts)).await?;
        }
        added.map_err(|error| (*number, Stop::Failed(error)))?;
        tokio::task::yield_now().await;
    }
    written(inner, inserts).await
}

async fn written(inner: &Inner, inserts: Inserts) -> Result<(), (u32, Stop)> {
    let first = inserts.first().unwrap_or(0);
    inner.insert(inserts).await.map_err(|stop| (first, stop))
}

fn statement_text(statement: &Spanned<Statement>, request: &Request) -> String {
    let text = statement.span.slice(&request.text).trim();
    text.trim_end_matches(';').trim_end().to_owned()
}

/// A script that may run: it parses, its properties fit, and every statement can be planned.
async fn checked(inner: &Inner, request: &Request) -> Result<Vec<Spanned<Statement>>, (u32, StatementError)> {
    let statements =
        parse_script(&request.text).map_err(|error| (0, StatementError::of_sql(error, &request.text)))?;
    permitted(request, &statements)?;
    properties_fit(request).map_err(|error| (0, error))?;
    check(inner, request, &statements).await?;
    Ok(statements)
}

/// Whether a statement only reads, or changes no more than its caller's session.
fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Select(_)
        | Statement::Print { .. }
        | Statement::Show { .. }
        | Statement::Describe { .. }
        | Statement::DescribeFunction { .. }
        | Statement::Explain(_)
        | Statement::Set { .. }
        | Statement::Unset { .. } => true,
        Statement::CreateSource { .. }
        | Statement::CreateAs { .. }
        | Statement::InsertValues { .. }
        | Statement::Drop { .. }
        | Statement::Terminate(_) => false,
    }
}

/// Refuses a script of which the caller may not run every statement, before any of it runs.
fn permitted(request: &Request, statements: &[Spanned<Statement>]) -> Result<(), (u32, StatementError)> {
    if request.access == Access::Manage {
        return Ok(());
    }
    match (0..).zip(statements).find(|(_, it)| !only_reads(&it.node)) {
        None => Ok(()),
        Some((number, statement)) => {
            let start = statement.span.start;
            let message = "this key may only read (SELECT, SHOW, DESCRIBE, EXPLAIN, PRINT): the statement needs a key with the role admin";
            let error = StatementError {
                line: Some(start.line),
                column: Some(start.column),
                ..StatementError::new(StatementErrorKind::Refused, message)
            };
            Err((number, error))
        }
    }
}

/// A statement's kind, as a label.
fn kind(statement: &Statement) -> &'static str {
    match statement {
        Statement::CreateSource { .. } => "create_source",
        Statement::CreateAs { .. } => "create_as",
        Statement::Select(select) if select.emit.is_some() => "push",
        Statement::Select(_) => "pull",
        Statement::InsertValues { .. } => "insert",
        Statement::Print { .. } => "print",
        Statement::Set { .. } | Statement::Unset { .. } => "set",
        Statement::Show { .. } => "show",
        Statement::Describe { .. } | Statement::DescribeFunction { .. } => "describe",
        Statement::Explain(_) => "explain",
        Statement::Drop { .. } => "drop",
        Statement::Terminate(_) => "terminate",
    }
}

/// Clients send properties along that no SET of this script has checked.
fn properties_fit(request: &Request) -> Result<(), StatementError> {
    for (name, value) in request.properties.iter().filter(|(name, _)| *name != RESUME) {
        SessionProperties::accepts(name, value)
            .map_err(|message| StatementError::new(StatementErrorKind::Invalid, message))?;
    }
    Ok(())
}

/// Plans every statement against a copy on which the earlier ones have had their effect.
async fn check(
    inner: &Inner,
    request: &Request,
    statements: &[Spanned<Statement>],
) -> Result<(), (u32, StatementError)> {
    let known = inner.known().await;
    let mut scratch = inner.metastore(&known).await.map_err(|error| (0, error))?;
    drop(known);
    let mut session = session(&request.properties);
    for (number, statement) in (0..).zip(statements) {
        let planned = plan(&statement.node, &scratch, &session)
            .map_err(|error| (number, StatementError::of_sql(error, &request.text)))?;
        pretend(planned, number, &mut scratch, &mut session);
        // Thousands of them are others' turn, too.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What a statement would change.
fn pretend(planned: Plan, number: u32, scratch: &mut Metastore, session: &mut SessionProperties) {
    match planned {
        Plan::CreateSource(create) => scratch.put_source(create.source),
        Plan::CreateQuery(create) => {
            scratch.put_source(create.query.sink.as_ref().clone());
            scratch.put_query(QueryFacts {
                id: format!("{}_script_{number}", create.query.id_prefix),
                reads: vec![create.query.reads.name.clone()],
                writes: create.query.sink.name.clone(),
            });
        }
        Plan::Drop(drop) => {
            scratch.remove_source(&drop.source.name);
            for id in &drop.terminates {
                scratch.remove_query(id);
            }
            if drop.delete_topic {
                scratch.remove_topic(&drop.source.topic);
            }
        }
        Plan::Terminate { query } => {
            scratch.remove_query(&query);
        }
        Plan::TerminateAll => {
            let all: Vec<String> = scratch.queries().map(|query| query.id.clone()).collect();
            for id in all {
                scratch.remove_query(&id);
            }
        }
        Plan::Set { key, value } => session.set(&key, value),
        Plan::Unset { key } => {
            session.unset(&key);
        }
        Plan::Nothing(_)
        | Plan::Push(_)
        | Plan::Pull(_)
        | Plan::Insert(_)
        | Plan::Print(_)
        | Plan::Show { .. }
        | Plan::Describe { .. }
        | Plan::DescribeFunction { .. }
        | Plan::Explain(_) => {}
    }
}

async fn one(
    inner: &Inner,
    request: &Request,
    statement: &Spanned<Statement>,
    session: &mut SessionProperties,
    out: &Out,
) -> Result<(), Stop> {
    let text = statement_text(statement, request);
    out.send(Answer::Started { text: text.clone() }).await?;
    let mut known = inner.known().await;
    let metastore = inner.metastore(&known).await?;
    let planned = plan(&statement.node, &metastore, session)
        .map_err(|error| StatementError::of_sql(error, &request.text))?;
    let changes_catalog = matches!(
        planned,
        Plan::CreateSource(_)
            | Plan::CreateQuery(_)
            | Plan::Drop(_)
            | Plan::Terminate { .. }
            | Plan::TerminateAll
    );
    if !changes_catalog {
        drop(known);
        return read_only(inner, planned, request, session, out).await;
    }
    match planned {
        Plan::CreateSource(create) => inner.create_source(&mut known, create, text, out).await,
        Plan::CreateQuery(create) => inner.create_query(&mut known, *create, text, session, out).await,
        Plan::Drop(drop) => inner.drop_source(&mut known, drop, out).await,
        Plan::Terminate { query } => inner.terminate(&mut known, vec![query], out).await,
        _ => {
            let all = known.queries.keys().cloned().collect();
            inner.terminate(&mut known, all, out).await
        }
    }
}

async fn read_only(
    inner: &Inner,
    planned: Plan,
    request: &Request,
    session: &mut SessionProperties,
    out: &Out,
) -> Result<(), Stop> {
    match planned {
        Plan::Push(push) => return inner.push(*push, request, session, out).await,
        Plan::Pull(pull) => return inner.pull(*pull, session, out).await,
        Plan::Print(print) => return inner.print(print, out).await,
        Plan::Show { what, extended } => return inner.show(what, extended, session, out).await,
        Plan::Describe { source, extended } => return inner.describe(&source, extended, out).await,
        Plan::DescribeFunction { name } => return inner.describe_function(&name, out).await,
        Plan::Explain(explain) => return inner.explain(explain, out).await,
        Plan::Nothing(sentence) => out.say(sentence, 0).await?,
        Plan::Set { key, value } => {
            session.set(&key, value.clone());
            out.send(Answer::Property {
                name: key,
                value: Some(value),
            })
            .await?;
        }
        Plan::Unset { key } => {
            session.unset(&key);
            out.send(Answer::Property {
                name: key,
                value: None,
            })
            .await?;
        }
        Plan::CreateSource(_)
        | Plan::CreateQuery(_)
        | Plan::Drop(_)
        | Plan::Terminate { .. }
        | Plan::TerminateAll
        | Plan::Insert(_) => {
            return Err(StatementError::internal("a statement that is run elsewhere came here").into());
        }
    }
    Ok(out.finish(0).await?)
}
