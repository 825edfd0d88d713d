//! Profiles: who may see what of whom.

use ops::database::Pool;
use schema::{id::UserId, problem::Code, text::DisplayName};
use serde_json::Value;

use super::{
    Role, User,
    model::{Profile, one_spelling},
    repository,
};
use crate::{
    error::ApiError,
    http::{Form, Identity, text},
    state::AppState,
};

/// The longest status, in characters.
const STATUS_CHARS_MAX: usize = 200;

/// The caller.
pub(super) async fn me(state: &AppState, caller: Identity) -> Result<User, ApiError> {
    repository::find(&state.pg, caller.user_id).await?.ok_or_else(ApiError::invalid_token)
}

/// Changes the caller's name or status.
pub(super) async fn change(state: &AppState, caller: Identity, mut form: Form) -> Result<User, ApiError> {
    let display_name = form.optional("display_name", text(DisplayName::parse));
    let status = form.change("status_text", status);
    let role = form.optional("role", own_role).flatten();
    form.finish()?;
    let name = display_name.as_ref().map(DisplayName::as_str);
    let now = state.clock.now();
    let status_text = status.as_ref().and_then(Option::as_deref);
    let changed = repository::change(&state.pg, caller.user_id, name, status.is_some(), status_text, role, now).await?;
    changed.ok_or_else(ApiError::invalid_token)
}

/// Another person.
pub(super) async fn profile(state: &AppState, id: UserId) -> Result<Profile, ApiError> {
    let found = repository::find(&state.pg, id).await?;
    found.map(Profile::from).ok_or_else(|| ApiError::refused(Code::NotFound, "nobody has this id"))
}

/// Gives the account of this e-mail address a role.
pub async fn grant(pg: &Pool, email: &str, role: Role) -> anyhow::Result<UserId> {
    let id = repository::set_role(pg, &one_spelling(email), role).await?;
    let id = id.ok_or_else(|| anyhow::anyhow!("nobody has signed up as {email}: sign up first"))?;
    tracing::warn!(security = "role_granted", user.id = %id, role = role.as_str(), "an operator gave a role");
    Ok(id)
}

/// Reads a role that people may give themselves: to offer time is no privilege over others. To ask for more than that
/// changes nothing, as with any field that is not theirs to set.
pub(crate) fn own_role(value: &Value) -> Result<Option<Role>, &'static str> {
    match value.as_str().map(Role::parse).ok_or("not_a_string")? {
        Some(role @ (Role::User | Role::Business)) => Ok(Some(role)),
        Some(Role::Admin) => Ok(None),
        None => Err("invalid"),
    }
}

fn status(value: &Value) -> Result<String, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?.trim();
    if text.chars().any(char::is_control) {
        Err("control_characters")
    } else if text.chars().count() > STATUS_CHARS_MAX {
        Err("too_long")
    } else {
        Ok(text.to_owned())
    }
}
