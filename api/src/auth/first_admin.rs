//! The first admin, for who sets a system up without a hand on it: made at a start that finds none.

use std::time::Duration;

use ops::settings::BadSetting;
use schema::{id::UserId, text::DisplayName};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::{
    repository::{self, NewUser},
    service,
};
use crate::{
    error::ApiError,
    state::AppState,
    users::{self, Role},
};

/// Who is made an admin when there is none.
#[derive(Clone, Debug, clap::Args)]
pub struct FirstAdmin {
    /// The e-mail address of the first admin, whose account is made at a start that finds no admin.
    #[arg(long, env = "ADMIN_EMAIL", requires = "admin_password")]
    pub admin_email: Option<String>,
    /// Their password; take it out of the settings once they have changed it.
    #[arg(long, env = "ADMIN_PASSWORD", hide_env_values = true, requires = "admin_email")]
    pub admin_password: Option<SecretString>,
}

const NAME: &str = "admin";
/// How long to wait for a database that is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl FirstAdmin {
    /// Checks what sign-up would check.
    pub(crate) fn check(&self) -> Result<(), BadSetting> {
        let Some((email, password)) = self.admin_email.as_ref().zip(self.admin_password.as_ref()) else {
            return Ok(());
        };
        service::email(&Value::from(email.as_str())).map_err(|code| BadSetting::new("ADMIN_EMAIL", code))?;
        let password = Value::from(password.expose_secret());
        service::new_password(&password).map(drop).map_err(|code| BadSetting::new("ADMIN_PASSWORD", code))
    }

    /// Makes the account if there is no admin; waits for a database that is away.
    pub(crate) async fn make(self, state: AppState) {
        let Some((email, password)) = self.admin_email.zip(self.admin_password) else { return };
        while let Err(error) = make(&state, &email, &password).await {
            tracing::warn!("the first admin is not made yet: {error}");
            tokio::time::sleep(RETRY_AFTER).await;
        }
    }
}

async fn make(state: &AppState, email: &str, password: &SecretString) -> Result<(), ApiError> {
    if repository::has_admin(&state.pg).await? {
        return Ok(());
    }
    let email = users::one_spelling(email);
    let hash = state.passwords.hash(password.clone()).await?;
    let display_name = DisplayName::parse(NAME).map_err(|_never| ApiError::unread_form())?;
    let new =
        NewUser { email: Some(&email), password_hash: Some(&hash), display_name: &display_name, role: Role::Admin };
    let mut tx = state.pg.begin().await?;
    let made = repository::insert_user(&mut tx, UserId::random(), &new, state.clock.now()).await?;
    tx.commit().await?;
    if let Some(admin) = made {
        tracing::warn!(security = "role_granted", user.id = %admin.id, role = "admin", "made the first admin");
        return Ok(());
    }
    // Somebody signed up with this address: only who knows the password is who the operator means.
    let stored = repository::find_account(&state.pg, &email).await?.and_then(|account| account.password_hash);
    if state.passwords.fits(password.clone(), stored).await? {
        users::grant(&state.pg, &email, Role::Admin).await.map(drop).map_err(|error| ApiError::Internal(error.into()))
    } else {
        tracing::error!(
            security = "first_admin_refused",
            "ADMIN_EMAIL has an account with another password: `api grant` makes it an admin"
        );
        Ok(())
    }
}
