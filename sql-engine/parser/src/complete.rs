//! Whether a shell has a whole statement in its hands, or must read another line.

#[derive(Clone, Copy, PartialEq)]
enum State {
    Plain,
    /// Inside quotes that this character ends.
    Quoted(char),
    LineComment,
    BlockComment,
}

/// True when the text ends with a `;` that stands outside quotes and comments (comments and blanks may
/// follow it). A text of blanks and comments only is not complete.
#[must_use]
pub fn is_complete(text: &str) -> bool {
    let mut state = State::Plain;
    let mut ended = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match state {
            State::Plain => match c {
                '\'' | '"' | '`' => (state, ended) = (State::Quoted(c), false),
                '-' if chars.peek() == Some(&'-') => state = State::LineComment,
                '/' if chars.peek() == Some(&'*') => {
                    chars.next();
                    state = State::BlockComment;
                }
                ';' => ended = true,
                blank if blank.is_whitespace() => {}
                _ => ended = false,
            },
            // A doubled quote leaves and enters again, which comes to the same.
            State::Quoted(quote) if c == quote => state = State::Plain,
            State::LineComment if c == '\n' => state = State::Plain,
            State::BlockComment if c == '*' && chars.peek() == Some(&'/') => {
                chars.next();
                state = State::Plain;
            }
            State::Quoted(_) | State::LineComment | State::BlockComment => {}
        }
    }
    ended && matches!(state, State::Plain | State::LineComment)
}
