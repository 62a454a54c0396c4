//! The SQL shell: a session that keeps properties, prints answers, and lets Ctrl-C end a query but not itself.

use crate::failure::Failure;
use crate::output::{OutputFormat, batch_texts, new_table, row_json};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use millstream_rust::{Client, Error, SqlAnswer, SqlStream};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;

/// A session: a client and the properties that SET has changed.
pub(crate) struct Session {
    client: Client,
    output: OutputFormat,
    properties: BTreeMap<String, String>,
}

/// Rows of a finite answer that are gathered into one table; more go into the next.
const TABLE_ROWS_MAX: usize = 65_536;

impl Session {
    pub(crate) fn new(client: Client, output: OutputFormat, properties: BTreeMap<String, String>) -> Session {
        Session {
            client,
            output,
            properties,
        }
    }

    /// Runs statements and prints their answers; Ctrl-C ends a running query.
    pub(crate) async fn execute(&mut self, text: &str) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let mut answers = self.client.sql(text, &self.properties).await?;
        tokio::select! {
            ended = self.print_all(&mut answers) => ended,
            _ = tokio::signal::ctrl_c() => {
                println!();
                eprintln!("Query ended.");
                Ok(())
            }
        }
    }

    async fn print_all(&mut self, answers: &mut SqlStream) -> Result<(), Failure> {
        let mut printer = Printer {
            output: self.output,
            schema: None,
            changes: false,
            headed: false,
            rows: Vec::new(),
        };
        loop {
            match answers.next_answer().await {
                Ok(None) => return Ok(printer.flush()?),
                Ok(Some(SqlAnswer::Property { name, value })) => {
                    match value {
                        Some(value) => self.properties.insert(name, value),
                        None => self.properties.remove(&name),
                    };
                }
                Ok(Some(answer)) => printer.take(answer)?,
                Err(error) => {
                    printer.flush()?;
                    return Err(match error {
                        // A mistake in the text needs no advice about the service.
                        Error::Sql { .. } => Failure::new(error.to_string()),
                        other => other.into(),
                    });
                }
            }
        }
    }
}

/// Prints answers as they come: finite tables whole, changes row by row.
struct Printer {
    output: OutputFormat,
    schema: Option<SchemaRef>,
    changes: bool,
    /// Whether the names of the present changes' columns were printed.
    headed: bool,
    rows: Vec<RecordBatch>,
}

impl Printer {
    fn take(&mut self, answer: SqlAnswer) -> std::io::Result<()> {
        match answer {
            SqlAnswer::Started { .. } => Ok(()),
            SqlAnswer::Message { text, .. } => {
                self.flush()?;
                match self.output {
                    OutputFormat::Table => println!("{text}"),
                    OutputFormat::Json => eprintln!("{text}"),
                }
                Ok(())
            }
            SqlAnswer::Schema {
                schema,
                changes,
                title,
            } => {
                self.flush()?;
                if !title.is_empty() && self.output == OutputFormat::Table {
                    println!("{title}");
                }
                (self.schema, self.changes, self.headed) = (Some(schema), changes, false);
                Ok(())
            }
            SqlAnswer::Rows(batch) => {
                self.rows.push(batch);
                let waiting: usize = self.rows.iter().map(RecordBatch::num_rows).sum();
                if self.changes || self.output == OutputFormat::Json || waiting >= TABLE_ROWS_MAX {
                    self.print_rows()?;
                }
                Ok(())
            }
            SqlAnswer::Finished {
                note, resume_token, ..
            } => {
                self.flush()?;
                if !note.is_empty() {
                    eprintln!("{note}");
                }
                if !resume_token.is_empty() {
                    eprintln!("Go on with token {resume_token}");
                }
                Ok(())
            }
            SqlAnswer::Property { .. } => Ok(()),
        }
    }

    /// Ends the current table: a finite one is printed even when it has no rows.
    fn flush(&mut self) -> std::io::Result<()> {
        if self.schema.is_some() && (!self.changes || !self.rows.is_empty()) {
            self.print_rows()?;
        }
        self.schema = None;
        Ok(())
    }

    fn print_rows(&mut self) -> std::io::Result<()> {
        let Some(schema) = self.schema.clone() else {
            return Ok(());
        };
        let rows = std::mem::take(&mut self.rows);
        let mut out = stdout().lock();
        match self.output {
            OutputFormat::Json => {
                for batch in &rows {
                    for row in 0..batch.num_rows() {
                        writeln!(out, "{}", row_json(&schema, batch, row))?;
                    }
                }
            }
            OutputFormat::Table if self.changes => {
                let names: Vec<&str> = schema
                    .fields()
                    .iter()
                    .map(|field| field.name().as_str())
                    .collect();
                if !std::mem::replace(&mut self.headed, true) {
                    writeln!(out, "{}", change_line(&names, &names))?;
                }
                for line in rows.iter().flat_map(batch_texts) {
                    writeln!(out, "{}", change_line(&names, &line))?;
                }
            }
            OutputFormat::Table => {
                let mut table = new_table();
                table.set_header(schema.fields().iter().map(|field| field.name()));
                for line in rows.iter().flat_map(batch_texts) {
                    table.add_row(line);
                }
                writeln!(out, "{table}")?;
            }
        }
        out.flush()
    }
}

/// A row of an endless answer: columns have room for what usually stands in them, for nobody knows what will come.
fn change_line(names: &[&str], cells: &[impl AsRef<str>]) -> String {
    let padded = names
        .iter()
        .zip(cells)
        .map(|(name, cell)| format!("{:width$}", cell.as_ref(), width = name.len().max(16)));
    padded.collect::<Vec<_>>().join(" | ").trim_end().to_owned()
}

/// Reads statements from the terminal until `exit` or Ctrl-D.
pub(crate) async fn interactive(mut session: Session) -> Result<(), Failure> {
    let broken = |error: ReadlineError| Failure::new(format!("the terminal cannot be read: {error}"));
    let mut editor = DefaultEditor::new().map_err(broken)?;
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time.
        let _ = editor.load_history(file);
    }
    println!("Millstream SQL. Statements end with ';'. Ctrl-C ends a query, Ctrl-D or 'exit' the shell.");
    let mut text = String::new();
    loop {
        let prompt = if text.is_empty() { "sql> " } else { "   > " };
        // Reading blocks, so it has a thread of its own; the editor goes there and comes back.
        let (back, line) = tokio::task::spawn_blocking(move || {
            let line = editor.readline(prompt);
            (editor, line)
        })
        .await
        .map_err(|error| Failure::new(error.to_string()))?;
        editor = back;
        match line {
            Ok(line) => {
                let word = line.trim().trim_end_matches(';').to_ascii_lowercase();
                if text.is_empty() && (word == "exit" || word == "quit") {
                    break;
                }
                text.push_str(&line);
                text.push('\n');
            }
            Err(ReadlineError::Interrupted) => {
                text.clear();
                continue;
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
        if is_complete(&text) {
            let script = std::mem::take(&mut text);
            // A history that cannot be written is no reason to stop.
            let _ = editor.add_history_entry(script.trim());
            if let Err(failure) = session.execute(&script).await {
                eprintln!("{failure}");
            }
        }
    }
    if let Some(file) = &history {
        let saved = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        if saved.is_ok() {
            let _ = editor.save_history(file);
        }
    }
    Ok(())
}

/// Whether the text ends with a `;` that is in no string, quoted name or comment.
fn is_complete(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let mut quote = None;
    let mut ended = false;
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => {
                (quote, ended) = (Some(c), false);
            }
            (None, '-') if rest.peek() == Some(&'-') => {
                rest.by_ref().find(|c| *c == '\n');
            }
            (None, '/') if rest.peek() == Some(&'*') => {
                let mut last = ' ';
                rest.by_ref()
                    .find(|c| std::mem::replace(&mut last, *c) == '*' && *c == '/');
            }
            (None, ';') => ended = true,
            (None, c) if c.is_whitespace() => {}
            (None, _) => ended = false,
        }
    }
    ended && quote.is_none()
}

fn history_file() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(base.join("millstream/sql-history"))
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_of_quotes_and_comments() {
        let table = [
            ("SELECT 1;", true),
            ("SELECT 1", false),
            ("SELECT ';'", false),
            ("SELECT ';';\n", true),
            ("SELECT `a;", false),
            ("SELECT 1; -- done", true),
            ("SELECT 1 -- not yet;", false),
            ("SELECT 1 /* ; */", false),
            ("SELECT 1; /* done */", true),
            ("SELECT 1; SELECT 2", false),
        ];
        for (text, complete) in table {
            assert_eq!(is_complete(text), complete, "{text}");
        }
    }
}
