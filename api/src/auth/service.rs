//! Sign-up, sign-in, refresh and sign-out: what is checked, in which order, and what commits together.

use schema::{
    change::ChangeKind,
    clock::Timestamp,
    id::{ChangeId, SessionId, UserId},
    problem::Code,
    text::DisplayName,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde_json::Value;

use super::{
    password, refresh_repository,
    refresh_token::{RefreshToken, Rotation},
    repository::{self, NewUser, RevokedFor},
    sign_in_delay::Attempt,
};
use crate::{
    error::ApiError,
    http::{Form, Visitor, text},
    outbox,
    state::AppState,
    users::{self, Role, User},
};

/// The answer to every way of signing in.
#[derive(Serialize)]
pub(super) struct SignedIn {
    user: User,
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
}

const PASSWORD_CHARS: std::ops::RangeInclusive<usize> = 8..=256;
const EMAIL_BYTES_MAX: usize = 254;

/// Makes an account and signs it in.
pub(super) async fn register(state: &AppState, mut form: Form) -> Result<SignedIn, ApiError> {
    let email = form.required("email", email);
    let password = form.required("password", new_password);
    let display_name = form.required("display_name", text(DisplayName::parse));
    let role = form.optional("role", users::own_role).flatten().unwrap_or(Role::User);
    form.finish()?;
    let (Some(email), Some(password), Some(display_name)) = (email, password, display_name) else {
        return Err(ApiError::unread_form());
    };
    let hash = state.passwords.hash(password).await?;
    let (id, sid, now) = (UserId::random(), SessionId::random(), state.clock.now());
    let token = RefreshToken::random(sid)?;
    // Redis first: if the commit fails, a token that nobody was given works for nobody.
    state.refresh_tokens.begin(&token).await?;
    let mut tx = state.pg.begin().await?;
    let new = NewUser { email: Some(&email), password_hash: Some(&hash), display_name: &display_name, role };
    let in_use = || ApiError::refused(Code::EmailTaken, "sign in, or take another e-mail");
    let user = repository::insert_user(&mut tx, id, &new, now).await?.ok_or_else(in_use)?;
    open_session(state, &mut tx, id, &token, now).await?;
    tx.commit().await?;
    tracing::info!(user.id = %id, session.id = %sid, "registered");
    signed_in(state, user, sid, token.expose())
}

/// Signs an account in. Unknown e-mail and wrong password take the same time and get the same answer.
pub(super) async fn login(state: &AppState, visitor: &Visitor, mut form: Form) -> Result<SignedIn, ApiError> {
    let email = form.required("email", email);
    let password = form.required("password", any_password);
    form.finish()?;
    let (Some(email), Some(password)) = (email, password) else {
        return Err(ApiError::unread_form());
    };
    let attempt = Attempt::new(&email, &visitor.subscriber);
    if let Some(retry_after) = state.sign_in_delay.wait(&attempt).await {
        return Err(ApiError::TooFast { retry_after });
    }
    let account = repository::find_account(&state.pg, &email).await?;
    let stored = account.as_ref().and_then(|account| account.password_hash.clone());
    let fits = state.passwords.fits(password.clone(), stored).await?;
    let Some(account) = account.filter(|_| fits) else {
        state.sign_in_delay.failed(&attempt).await;
        tracing::info!(security = "sign_in_failed", subscriber = visitor.subscriber, "sign-in refused");
        return Err(ApiError::refused(Code::InvalidCredentials, "e-mail or password is wrong"));
    };
    state.sign_in_delay.succeeded(&attempt).await;
    let imported = account.password_hash.as_deref().filter(|stored| password::is_imported(stored));
    // Now that the password is known, it can be hashed our way.
    let own = if imported.is_some() { Some(state.passwords.hash(password).await?) } else { None };
    let (sid, now) = (SessionId::random(), state.clock.now());
    let token = RefreshToken::random(sid)?;
    state.refresh_tokens.begin(&token).await?;
    let mut tx = state.pg.begin().await?;
    if let (Some(imported), Some(own)) = (imported, &own) {
        repository::replace_password_hash(&mut tx, account.user.id, imported, own).await?;
    }
    open_session(state, &mut tx, account.user.id, &token, now).await?;
    tx.commit().await?;
    signed_in(state, account.user, sid, token.expose())
}

/// Uses a refresh token up for its successor.
pub(super) async fn refresh(state: &AppState, presented: &str) -> Result<SignedIn, ApiError> {
    let presented = RefreshToken::parse(presented).ok_or_else(not_refreshable)?;
    let (sid, now) = (presented.sid, state.clock.now());
    let successor = RefreshToken::random(sid)?;
    let expires_at = expires_at(state, now)?;
    // Mirrored before it works: what was ever handed out can be recognised.
    let user =
        refresh_repository::extend(&state.pg, sid, &presented.hash(), &successor.hash(), now, expires_at).await?;
    let user = user.ok_or_else(not_refreshable)?;
    let token = match state.refresh_tokens.rotate(&presented, &successor).await {
        Ok(Rotation::Rotated) => SecretString::from(successor.expose()),
        Ok(Rotation::Repeated(token)) => {
            refresh_repository::delete(&state.pg, &successor.hash()).await?;
            token
        }
        Ok(Rotation::Refused) => {
            tracing::warn!(security = "refresh_token_reused", user.id = %user, session.id = %sid, "family revoked");
            revoke(state, user, Some(sid), RevokedFor::Reuse).await?;
            return Err(not_refreshable());
        }
        Err(error) => return Err(error),
    };
    let user = repository::find_user(&state.pg, user).await?.ok_or_else(not_refreshable)?;
    signed_in(state, user, sid, token.expose_secret())
}

/// Signs out the session of the access token, or else of the refresh token.
pub(super) async fn logout(state: &AppState, access: Option<&str>, refresh: Option<&str>) -> Result<usize, ApiError> {
    let from_access = match access {
        Some(token) => super::identify(state, token).await.map(|caller| (caller.sid, caller.user_id)),
        None => Err(ApiError::invalid_token()),
    };
    // A phone whose access token has just ended can still sign out.
    let (sid, user) = match (from_access, refresh.and_then(RefreshToken::parse)) {
        (Ok(found), _) => found,
        (Err(_), Some(token)) => {
            refresh_repository::find_session(&state.pg, &token.hash()).await?.ok_or_else(ApiError::invalid_token)?
        }
        (Err(error), None) => return Err(error),
    };
    revoke(state, user, Some(sid), RevokedFor::Logout).await
}

/// Signs out every session of the token's user.
pub(super) async fn logout_all(state: &AppState, token: &str) -> Result<usize, ApiError> {
    let caller = super::identify(state, token).await?;
    revoke(state, caller.user_id, None, RevokedFor::LogoutAll).await
}

/// Ends sessions: first in the database, with the word of it to every gateway, then wherever they are remembered.
async fn revoke(state: &AppState, user: UserId, sid: Option<SessionId>, why: RevokedFor) -> Result<usize, ApiError> {
    let now = state.clock.now();
    let mut tx = state.pg.begin().await?;
    let ended = repository::revoke(&mut tx, user, sid, why, now).await?;
    if !ended.is_empty() {
        let change = outbox::NewChange {
            user_id: Some(user),
            sid,
            actor_id: Some(user),
            ..outbox::NewChange::new(ChangeKind::UserSessionsRevoked, 0, now)
        };
        outbox::append_change(&mut tx, user.as_uuid(), ChangeId::random(), change).await?;
    }
    tx.commit().await?;
    state.sessions.invalidate();
    state.refresh_tokens.end(&ended).await;
    Ok(ended.len())
}

/// Begins a session, in the transaction that found or made its user.
pub(super) async fn open_session(
    state: &AppState,
    tx: &mut sqlx::PgConnection,
    user: UserId,
    token: &RefreshToken,
    now: Timestamp,
) -> Result<(), ApiError> {
    repository::insert_session(tx, token.sid, user, now, expires_at(state, now)?).await?;
    refresh_repository::insert(tx, &token.hash(), token.sid, now).await?;
    Ok(())
}

/// What somebody is told who has signed in.
pub(super) fn signed_in(
    state: &AppState,
    user: User,
    sid: SessionId,
    refresh_token: &str,
) -> Result<SignedIn, ApiError> {
    let access_token = state
        .signing_key
        .sign(&state.tokens, state.clock, user.id, sid)
        .map_err(|error| ApiError::Internal(error.into()))?;
    Ok(SignedIn {
        user,
        access_token,
        token_type: "Bearer",
        expires_in: state.tokens.access_for.as_secs(),
        refresh_token: refresh_token.to_owned(),
    })
}

fn expires_at(state: &AppState, now: Timestamp) -> Result<Timestamp, ApiError> {
    now.plus(state.refresh_tokens.valid_for).map_err(|error| ApiError::Internal(error.into()))
}

fn not_refreshable() -> ApiError {
    ApiError::refused(Code::InvalidToken, "the refresh token does not work")
}

/// Reads an e-mail address.
pub(super) fn email(value: &Value) -> Result<String, &'static str> {
    let text = users::one_spelling(value.as_str().ok_or("not_a_string")?);
    if text.len() > EMAIL_BYTES_MAX {
        return Err("too_long");
    }
    let (local, domain) = text.rsplit_once('@').ok_or("not_an_email")?;
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
    let fits = !local.is_empty() && !local.contains('@') && !domain.is_empty() && text.chars().all(is_plain);
    if fits && !domain.starts_with('.') && !domain.ends_with('.') { Ok(text) } else { Err("not_an_email") }
}

pub(super) fn new_password(value: &Value) -> Result<SecretString, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?;
    match text.chars().count() {
        count if count < *PASSWORD_CHARS.start() => Err("too_short"),
        count if count > *PASSWORD_CHARS.end() => Err("too_long"),
        _ => Ok(SecretString::from(text)),
    }
}

/// A password at sign-in: too short is simply wrong, but nobody hashes a novel.
fn any_password(value: &Value) -> Result<SecretString, &'static str> {
    let text = value.as_str().ok_or("not_a_string")?;
    if text.chars().count() > *PASSWORD_CHARS.end() { Err("too_long") } else { Ok(SecretString::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_lower_case_and_plausible() {
        let check = |text: &str, expected: Result<&str, &'static str>| {
            assert_eq!(email(&Value::from(text)), expected.map(str::to_owned), "{text}");
        };
        check(" Ann@Example.ORG ", Ok("ann@example.org"));
        check("ann@localhost", Ok("ann@localhost"));
        check("ann", Err("not_an_email"));
        check("@example.org", Err("not_an_email"));
        check("ann@", Err("not_an_email"));
        check("a b@example.org", Err("not_an_email"));
        check("a@b@c", Err("not_an_email"));
        check(&format!("{}@b.c", "a".repeat(254)), Err("too_long"));
    }

    #[test]
    fn a_password_has_8_to_256_characters() {
        let check = |text: &str| new_password(&Value::from(text)).map(drop);
        assert_eq!(check("1234567"), Err("too_short"));
        assert_eq!(check("비밀번호여덟글자"), Ok(()));
        assert_eq!(check(&"x".repeat(256)), Ok(()));
        assert_eq!(check(&"x".repeat(257)), Err("too_long"));
    }
}
