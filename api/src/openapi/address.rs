//! Which address of the document a request went to: a name for it that callers can not invent.

use std::sync::LazyLock;

use super::paths;

/// An address in parts, and as the document has it.
type Template = (Vec<String>, &'static str);

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let split = |path: String| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let mut all: Vec<Template> =
        paths::all().iter().map(|operation| (split(operation.full_path()), operation.path)).collect();
    // What is spelled out comes before what stands for anything: `/users/me` is nobody's id.
    all.sort_by_key(|(parts, _)| parts.iter().filter(|part| is_open(part)).count());
    all.dedup_by(|one, other| one.1 == other.1);
    all
});

/// The address that `path` is of, as the document has it; `other` for what the document does not know.
pub(crate) fn address(path: &str) -> &'static str {
    TEMPLATES.iter().find(|(parts, _)| fits(parts, path)).map_or("other", |(_, address)| address)
}

fn fits(template: &[String], path: &str) -> bool {
    let mut parts = path.split('/');
    template.iter().all(|wanted| parts.next().is_some_and(|part| is_open(wanted) || part == wanted))
        && parts.next().is_none()
}

fn is_open(part: &str) -> bool {
    part.starts_with('{')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_its_address_in_the_document() {
        let check = |path: &str, expected: &str| assert_eq!(address(path), expected, "{path}");
        check("/api/v1/users/me", "/users/me");
        check("/api/v1/users/01a1ffbf-c1cf-718f-909e-54073ef963c3", "/users/{user_id}");
        check("/api/v1/events/x/participants/me", "/events/{event_id}/participants/me");
        check("/health", "/health");
        check("/api/v1/health", "other");
        check("/api/v1/users/me/", "other");
        check("/api/v1/events/x/y", "other");
        check("", "other");
    }
}
