//! Reads the fields of a body one by one, so that a refusal names every field that is wrong, not just the first.

use schema::{clock::Timestamp, problem::FieldError, text::TextError};
use serde_json::{Map, Value};

use crate::error::ApiError;

/// The fields of a body, and what was found wrong with them so far. Unknown fields are ignored.
#[derive(Debug)]
pub(crate) struct Form {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// What is wrong with a field, as its `code` in the answer.
pub(crate) type Wrong = &'static str;

impl Form {
    pub(super) const fn new(fields: Map<String, Value>) -> Self {
        Self { fields, errors: Vec::new() }
    }

    /// A field that must be there.
    pub(crate) fn required<T>(&mut self, field: &str, read: impl FnOnce(&Value) -> Result<T, Wrong>) -> Option<T> {
        match self.fields.get(field) {
            None | Some(Value::Null) => {
                self.refuse(field, "required");
                None
            }
            Some(value) => match read(value) {
                Ok(value) => Some(value),
                Err(code) => {
                    self.refuse(field, code);
                    None
                }
            },
        }
    }

    /// A field that may be missing or null.
    pub(crate) fn optional<T>(&mut self, field: &str, read: impl FnOnce(&Value) -> Result<T, Wrong>) -> Option<T> {
        if self.has(field) { self.required(field, read) } else { None }
    }

    /// A field of a change: `None` leaves it, `Some(None)` (null) clears it.
    #[expect(clippy::option_option, reason = "missing and null mean different things in a change")]
    pub(crate) fn change<T>(
        &mut self,
        field: &str,
        read: impl FnOnce(&Value) -> Result<T, Wrong>,
    ) -> Option<Option<T>> {
        match self.fields.get(field) {
            None => None,
            Some(Value::Null) => Some(None),
            Some(_) => self.required(field, read).map(Some),
        }
    }

    /// Whether the field is there and not null.
    pub(crate) fn has(&self, field: &str) -> bool {
        self.fields.get(field).is_some_and(|value| !value.is_null())
    }

    /// Notes that `field` is wrong.
    pub(crate) fn refuse(&mut self, field: &str, code: Wrong) {
        self.errors.push(FieldError { field: field.into(), code: code.into() });
    }

    /// Refuses if anything was wrong.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::Fields(self.errors)) }
    }
}

/// Reads a bounded text with its own parser.
pub(crate) fn text<T>(parse: fn(&str) -> Result<T, TextError>) -> impl FnOnce(&Value) -> Result<T, Wrong> {
    move |value| {
        parse(value.as_str().ok_or("not_a_string")?).map_err(|error| match error {
            TextError::Empty => "empty",
            TextError::TooLong(_) => "too_long",
            TextError::Control => "control_characters",
        })
    }
}

/// Reads any text.
pub(crate) fn any_text(value: &Value) -> Result<String, Wrong> {
    value.as_str().map(str::to_owned).ok_or("not_a_string")
}

/// Reads true or false.
pub(crate) fn flag(value: &Value) -> Result<bool, Wrong> {
    value.as_bool().ok_or("not_a_boolean")
}

/// Reads an RFC 3339 time.
pub(crate) fn instant(value: &Value) -> Result<Timestamp, Wrong> {
    Timestamp::parse(value.as_str().ok_or("not_a_string")?).map_err(|_malformed| "not_a_time")
}

/// Reads an id.
pub(crate) fn id<T: std::str::FromStr>(value: &Value) -> Result<T, Wrong> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or("not_an_id")
}

/// Reads a list of at most `max` ids.
pub(crate) fn ids<T: std::str::FromStr>(max: usize) -> impl FnOnce(&Value) -> Result<Vec<T>, Wrong> {
    move |value| {
        let values = value.as_array().ok_or("not_a_list")?;
        if values.len() > max {
            return Err("too_many");
        }
        values.iter().map(id).collect()
    }
}

#[cfg(test)]
mod tests {
    use schema::text::Title;
    use serde_json::json;

    use super::*;

    fn form(value: Value) -> Form {
        let Value::Object(fields) = value else { panic!("an object") };
        Form::new(fields)
    }

    #[test]
    fn every_wrong_field_is_named() {
        let mut form = form(json!({"title": " ", "starts_at": "soon", "more": 1}));
        assert_eq!(form.required("title", text(Title::parse)), None);
        assert_eq!(form.required("starts_at", instant), None);
        assert_eq!(form.required("ends_at", instant), None);
        let ApiError::Fields(errors) = form.finish().expect_err("wrong fields") else { panic!("fields") };
        let found: Vec<(&str, &str)> = errors.iter().map(|e| (e.field.as_str(), e.code.as_str())).collect();
        assert_eq!(found, [("title", "empty"), ("starts_at", "not_a_time"), ("ends_at", "required")]);
    }

    #[test]
    fn missing_and_null_mean_different_things_in_a_change() {
        let mut form = form(json!({"location": null, "title": "x"}));
        assert_eq!(form.change("location", any_text), Some(None));
        assert_eq!(form.change("description", any_text), None);
        assert_eq!(form.change("title", any_text), Some(Some("x".to_owned())));
        assert!(form.finish().is_ok());
    }
}
