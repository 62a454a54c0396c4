//! Text of strangers, made fit for a terminal: nothing in it moves the cursor, and columns keep their width.

use std::borrow::Cow;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text on one line: what a terminal would obey, or what turns the direction of writing, is written out.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c.is_control() || turns(c))
}

/// The same for text whose line ends are meant.
pub(crate) fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| (c.is_control() && c != '\n') || turns(c))
}

fn escaped(text: &str, hidden: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Marks that reorder what stands around them.
fn turns(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The text in exactly so many columns of the terminal: padded, or cut with `…`.
pub(crate) fn fitted(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return format!("{text}{}", " ".repeat(columns - width));
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let more = c.width().unwrap_or(0);
        if used + more + 1 > columns {
            break;
        }
        out.push(c);
        used += more;
    }
    out.push('…');
    out.push_str(&" ".repeat(columns.saturating_sub(used + 1)));
    out
}

#[cfg(test)]
mod tests {
    use super::{fitted, visible, visible_lines};

    #[test]
    fn nothing_moves_the_cursor() {
        let table = [
            ("plain ü 日本", "plain ü 日本"),
            ("two\nlines\t.", "two\\nlines\\t."),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("\u{9b}31m", "\\u{9b}31m"),
        ];
        for (text, shown) in table {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\r"), "a\nb\\r");
    }

    #[test]
    fn columns_keep_their_width() {
        let table = [
            ("ab", 4, "ab  "),
            ("abcd", 4, "abcd"),
            ("abcde", 4, "abc…"),
            ("日本", 4, "日本"),
            ("日本語", 4, "日… "),
            ("e\u{301}x", 2, "e\u{301}x"),
        ];
        for (text, columns, shown) in table {
            assert_eq!(fitted(text, columns), shown, "{text} in {columns}");
        }
    }
}
