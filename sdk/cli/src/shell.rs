//! The SQL shell: a session that keeps properties, prints answers, and lets Ctrl-C end a query but not itself.

mod complete;
mod help;

use crate::failure::Failure;
use crate::output::{
    OutputFormat, batch_texts, expanded, fitted, is_narrow, row_json, table_of, tell, terminal_width,
    visible, visible_lines,
};
use crate::script::{Part, is_complete, parts};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::SchemaRef;
use complete::Words;
use millstream_rust::{Client, Error, SqlAnswer, SqlStream};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Config, Editor};
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use unicode_width::UnicodeWidthStr;

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
    ///
    /// # Errors
    /// The first statement's that fails, or that it was interrupted.
    pub(crate) async fn execute(&mut self, text: &str) -> Result<(), Failure> {
        if text.trim().is_empty() {
            return Ok(());
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            ended = self.ask(text) => ended,
            _ = interrupt.recv() => {
                tell("\nQuery ended.");
                Err(Failure::interrupted())
            }
        }
    }

    async fn ask(&mut self, text: &str) -> Result<(), Failure> {
        for part in parts(text)? {
            let mut answers = self.client.sql(part.text, &self.properties).await?;
            self.print_all(&mut answers, &part).await?;
        }
        Ok(())
    }

    /// The names of streams, tables and functions, as far as they can be had.
    async fn names(&self) -> Vec<String> {
        let text = "SHOW STREAMS; SHOW TABLES; SHOW FUNCTIONS;";
        let rows = self.client.sql_rows(text, &BTreeMap::new()).await;
        let mut names = Vec::new();
        for batch in rows.unwrap_or_default() {
            if let Some(first) = batch.columns().first().and_then(|it| it.as_string_opt::<i32>()) {
                names.extend(first.iter().flatten().map(str::to_owned));
            }
        }
        names
    }

    async fn print_all(&mut self, answers: &mut SqlStream, part: &Part<'_>) -> Result<(), Failure> {
        let mut printer = Printer {
            output: self.output,
            schema: None,
            changes: false,
            printed: 0,
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
                    return Err(match part.placed(error) {
                        // A mistake in the text needs no advice about the service.
                        error @ Error::Sql { .. } => Failure::new(error.to_string()),
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
    /// Changes printed of the present answer.
    printed: usize,
    rows: Vec<RecordBatch>,
}

impl Printer {
    fn take(&mut self, answer: SqlAnswer) -> std::io::Result<()> {
        match answer {
            SqlAnswer::Started { .. } => Ok(()),
            SqlAnswer::Message { text, .. } => {
                self.flush()?;
                let text = visible_lines(&text);
                match self.output {
                    OutputFormat::Table => writeln!(stdout(), "{text}"),
                    OutputFormat::Json => {
                        tell(text);
                        Ok(())
                    }
                }
            }
            SqlAnswer::Schema {
                schema,
                changes,
                title,
            } => {
                self.flush()?;
                if !title.is_empty() && self.output == OutputFormat::Table {
                    writeln!(stdout(), "{}", visible(&title))?;
                }
                (self.schema, self.changes, self.printed) = (Some(schema), changes, 0);
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
                note,
                resume_token,
                commit_token,
                ..
            } => {
                self.flush()?;
                if !note.is_empty() {
                    tell(visible_lines(&note));
                }
                if !resume_token.is_empty() {
                    tell(format_args!(
                        "Go on where it was: --set resume.token={resume_token}"
                    ));
                }
                // A person reads the rows; a script may have its next query see at least the same.
                if !commit_token.is_empty() && self.output == OutputFormat::Json {
                    tell(format_args!(
                        "See at least this commit: --set pull.commit.min={commit_token}"
                    ));
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
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
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
                for cells in rows.iter().flat_map(batch_texts) {
                    self.printed += 1;
                    writeln!(
                        out,
                        "{}",
                        change_text(&names, &cells, self.printed, terminal_width())
                    )?;
                }
            }
            OutputFormat::Table => {
                writeln!(out, "{}", table_of(&names, rows.iter().flat_map(batch_texts)))?;
            }
        }
        out.flush()
    }
}

/// Columns of the terminal that a cell of an endless answer has when there is room.
const CHANGE_CELL_COLUMNS: usize = 16;

/// What stands between two cells of an endless answer.
const CHANGE_SEPARATOR: &str = " | ";

/// A row of an endless answer, below the columns' names when it is the first.
fn change_text(names: &[&str], cells: &[String], number: usize, terminal: Option<usize>) -> String {
    match terminal {
        Some(width) if is_narrow(width, names.len()) => expanded(number, names, cells, width),
        _ => {
            let line = change_line(names, cells, terminal);
            match number {
                1 => format!("{}\n{line}", change_line(names, names, terminal)),
                _ => line,
            }
        }
    }
}

/// A row of an endless answer: columns have room for what usually stands in them, for nobody knows what will come.
/// On a terminal they share its width and what is longer is cut; elsewhere nothing is.
fn change_line(names: &[&str], cells: &[impl AsRef<str>], terminal: Option<usize>) -> String {
    let count = names.len().max(1);
    let room = terminal.map(|width| {
        let between = CHANGE_SEPARATOR.len() * (count - 1);
        (width.saturating_sub(between) / count).max(1)
    });
    let padded = names.iter().zip(cells).map(|(name, cell)| {
        let cell = visible(cell.as_ref());
        let usual = name.width().max(CHANGE_CELL_COLUMNS);
        fitted(&cell, room.unwrap_or_else(|| usual.max(cell.width())))
    });
    padded
        .collect::<Vec<_>>()
        .join(CHANGE_SEPARATOR)
        .trim_end()
        .to_owned()
}

/// Reads statements from the terminal until `exit` or Ctrl-D.
pub(crate) async fn interactive(mut session: Session) -> Result<(), Failure> {
    let broken = |error: ReadlineError| Failure::new(format!("the terminal cannot be read: {error}"));
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Words, DefaultHistory> = Editor::with_config(config).map_err(broken)?;
    let words = Words::default();
    editor.set_helper(Some(words.clone()));
    let history = history_file();
    if let Some(file) = &history {
        // There is none the first time, and no place for one is no reason to stop.
        let _ = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = editor.load_history(file);
    }
    // From now on Ctrl-C is a query's end, never the shell's, also between two of them.
    let _shell_stays = signal(SignalKind::interrupt())?;
    tell(
        "Millstream SQL. Statements end with ';'. Ctrl-C ends a query, Ctrl-D or 'exit' the shell; 'help' says more.",
    );
    words.know(session.names().await);
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
                if text.is_empty() && (word == "help" || word == "?") {
                    writeln!(stdout(), "{}", help::HELP)?;
                    continue;
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
            if let Some(file) = &history {
                let _ = editor.append_history(file);
            }
            if let Err(failure) = session.execute(&script).await
                && failure.exit().1
            {
                tell(visible_lines(failure.text()));
            }
            if changes_names(&script) {
                words.know(session.names().await);
            }
        }
    }
    Ok(())
}

/// Whether a script may have made or dropped something that has a name.
fn changes_names(script: &str) -> bool {
    let script = script.to_ascii_uppercase();
    script.contains("CREATE") || script.contains("DROP")
}

fn history_file() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(base.join("millstream/sql-history"))
}

#[cfg(test)]
mod tests {
    use super::change_line;

    #[test]
    fn changes_share_the_terminals_width() {
        let names = ["a", "b", "c"];
        let cells = ["1", "日本語日本語日本語", "a long text that goes on and on"];
        let line = change_line(&names, &cells, Some(30));
        // Eight columns each: a wide character takes two, and what does not fill its cell is padded.
        assert_eq!(line, "1        | 日本語…  | a long …");
        let line = change_line(&names, &cells, None);
        assert!(
            line.ends_with("on and on") && line.contains("日本語日本語日本語"),
            "{line}"
        );
    }
}
