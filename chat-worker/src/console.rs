//! Where the commands for operators write: the answer to standard output, all else to standard error, so that a pipe
//! gets the answer alone. A reader that has gone away (`| head`) is no error: there is nobody left to tell.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

/// A line of the answer.
pub fn answer(line: impl Display) {
    drop(writeln!(io::stdout(), "{line}"));
}

/// A piece of the answer, as it is.
pub fn raw(bytes: &[u8]) {
    let mut out = io::stdout();
    drop(out.write_all(bytes).and_then(|()| out.flush()));
}

/// What the reader should know beside the answer.
pub fn note(line: impl Display) {
    drop(writeln!(io::stderr(), "{line}"));
}

/// Why there is no answer, with every cause.
pub fn failure(error: &anyhow::Error) {
    drop(writeln!(io::stderr(), "error: {error:#}"));
}

/// Text of anybody's, without what would steer a terminal or turn the direction of what follows.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let steers =
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if steers { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// The same of bytes, which may be no text at all.
pub fn visible_bytes(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => visible(text),
        Err(_no_text) => bytes.escape_ascii().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_steer_a_terminal_is_shown_and_not_done() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(visible_bytes(bytes), expected);
        check("안녕 👍".as_bytes(), "안녕 👍");
        check(b"\x1b[2Jgone\r\nover", "\\u{1b}[2Jgone\\r\\nover");
        check("a\u{202e}b\u{9b}c".as_bytes(), "a\\u{202e}b\\u{9b}c");
        check(b"\xff{\x1b}", "\\xff{\\x1b}");
    }
}
