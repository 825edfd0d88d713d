//! Ways to sign in that somebody else vouches for: Google, or whoever brings a code to a phone. Whom they vouch for has
//! one account here, may have several ways into it, and is never guessed from an e-mail address.

use schema::{
    clock::Timestamp,
    id::{SessionId, UserId},
    problem::Code,
    text::DisplayName,
};
use sqlx::PgConnection;

use super::{
    identity_repository as repository,
    refresh_token::RefreshToken,
    repository::{NewUser, insert_user},
    service::{self, SignedIn},
};
use crate::{
    error::ApiError,
    http::{Identity, Visitor},
    state::AppState,
    users::{Role, User},
};

/// Who vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    Google,
    Phone,
}

impl Provider {
    /// The name in the database and in the log.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Phone => "phone",
        }
    }
}

/// Somebody, as a provider vouches for them.
pub(super) struct Vouched {
    pub(super) provider: Provider,
    /// The provider's lasting name for them.
    pub(super) subject: String,
    /// What a new account is called.
    pub(super) display_name: DisplayName,
    /// A new account's address, if nobody has it yet.
    pub(super) email: Option<String>,
}

/// Whose account gets a further way in, if a token says so. A token that does not count is refused: to go on without it
/// would make a second account for somebody who has one.
pub(super) async fn owner(state: &AppState, visitor: &Visitor) -> Result<Option<Identity>, ApiError> {
    match &visitor.token {
        Some(token) => super::identify(state, token).await.map(Some),
        None => Ok(None),
    }
}

/// Signs in whom a provider vouches for. With an `owner` it becomes a way into that account, unless it is one into
/// another; without, it leads to the account it always led to, or to a new one.
pub(super) async fn sign_in(
    state: &AppState,
    owner: Option<Identity>,
    vouched: &Vouched,
) -> Result<SignedIn, ApiError> {
    let (sid, now) = (SessionId::random(), state.clock.now());
    let token = RefreshToken::random(sid)?;
    // Redis first: if the commit fails, a token that nobody was given works for nobody.
    state.refresh_tokens.begin(&token).await?;
    let mut tx = state.pg.begin().await?;
    let user = match owner {
        Some(owner) => link(&mut tx, vouched, owner.user_id, now).await?,
        None => find_or_make(&mut tx, vouched, now).await?,
    };
    service::open_session(state, &mut tx, user.id, &token, now).await?;
    tx.commit().await?;
    tracing::info!(user.id = %user.id, session.id = %sid, provider = vouched.provider.as_str(), "signed in");
    service::signed_in(state, user, sid, token.expose())
}

/// What somebody is called who says nothing of it.
pub(super) fn guest() -> DisplayName {
    DisplayName::parse("Guest").expect("a plain word is a name")
}

/// A name from elsewhere, as far as it can be shown.
pub(super) fn shown_name(name: Option<&str>) -> DisplayName {
    let line: String = name.unwrap_or_default().trim().chars().filter(|c| !c.is_control()).collect();
    let short: String = line.chars().take(DisplayName::CHARS_MAX).collect();
    DisplayName::parse(&short).unwrap_or_else(|_nothing_left| guest())
}

async fn link(tx: &mut PgConnection, vouched: &Vouched, user: UserId, now: Timestamp) -> Result<User, ApiError> {
    repository::insert(tx, vouched, user, now).await?;
    let found = repository::find_user(tx, vouched).await?;
    found.filter(|found| found.id == user).ok_or_else(|| {
        let provider = vouched.provider.as_str();
        tracing::info!(security = "identity_of_another", user.id = %user, provider, "linking refused");
        ApiError::refused(Code::Conflict, "it signs in to another account")
    })
}

async fn find_or_make(tx: &mut PgConnection, vouched: &Vouched, now: Timestamp) -> Result<User, ApiError> {
    if let Some(user) = repository::find_user(tx, vouched).await? {
        return Ok(user);
    }
    let id = UserId::random();
    // Of two who come at once, the second waits here for the first one's commit, and then finds its account.
    if !repository::insert(tx, vouched, id, now).await? {
        let closed = || ApiError::refused(Code::InvalidCredentials, "the account is closed");
        return repository::find_user(tx, vouched).await?.ok_or_else(closed);
    }
    let email = vouched.email.as_deref();
    let new = NewUser { email, password_hash: None, display_name: &vouched.display_name, role: Role::User };
    if let Some(user) = insert_user(tx, id, &new, now).await? {
        return Ok(user);
    }
    // Somebody has the address already. Who registers with a password proves nothing about it, so it may be anybody:
    // two accounts can be joined later, a stranger's way in can not be taken back.
    let made = insert_user(tx, id, &NewUser { email: None, ..new }, now).await?;
    made.ok_or_else(|| ApiError::Internal("an account without an address was in conflict".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_from_elsewhere_is_cut_to_what_can_be_shown() {
        let check = |name: Option<&str>, expected: &str| assert_eq!(shown_name(name).as_str(), expected);
        check(Some(" Ann\u{7}\n Lee "), "Ann Lee");
        check(Some(&"한".repeat(80)), &"한".repeat(64));
        check(Some("\u{0} "), "Guest");
        check(None, "Guest");
    }
}
