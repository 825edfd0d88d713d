//! The tables of codes in `docs/socket.md` are the code's own.

use schema::{frame::close::CloseReason, problem::Code};

const PAGE: &str = include_str!("../../docs/socket.md");

fn close_codes() -> String {
    let row = |reason: &CloseReason| {
        let promise = if reason.may_come_back() { "come back" } else { "do not" };
        format!("| {} | `{}` | {} ({promise}) |\n", reason.code(), reason.as_str(), reason.meaning())
    };
    CloseReason::ALL.iter().map(row).collect()
}

fn problem_codes() -> String {
    let row = |code: &Code| {
        let retry = if code.may_retry() { "yes" } else { "no" };
        format!("| `{code}` | {} | {retry} | {} |\n", code.http_status(), code.title())
    };
    Code::ALL.iter().map(row).collect()
}

#[test]
fn every_close_code_has_its_row_on_the_sockets_page() {
    assert!(PAGE.contains(&close_codes()), "docs/socket.md must hold this table:\n{}", close_codes());
}

#[test]
fn every_problem_code_has_its_row_on_the_sockets_page() {
    assert!(PAGE.contains(&problem_codes()), "docs/socket.md must hold this table:\n{}", problem_codes());
}

#[test]
fn close_codes_keep_their_promise_by_their_range() {
    for reason in CloseReason::ALL {
        let is_ours = matches!(reason.code(), 4000..=4999);
        assert!(!is_ours || reason.may_come_back() == (reason.code() < 4500), "{reason:?}");
    }
}
