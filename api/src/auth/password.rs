//! Passwords: argon2id, on few threads, because each hash takes 19 MiB and a good part of a core. People who come from
//! elsewhere bring bcrypt's hashes along; each counts until its first sign-in, which makes one of ours.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Semaphore;

use crate::error::ApiError;

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Hashes computed at the same time.
const RUNNING_MAX: usize = 4;
/// Requests that may wait for their turn; the next one is told to come back.
const WAITING_MAX: usize = 256;
/// How long a request waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(10);
/// The highest cost of a bcrypt hash; each step doubles its time, and this one takes seconds.
const IMPORTED_COST_MAX: u32 = 15;

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passwords")
    }
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { running: Arc::new(Semaphore::new(RUNNING_MAX)), waiting: Semaphore::new(WAITING_MAX) }
    }

    /// The hash to store for `password`.
    pub(super) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        self.work(move || hash(&password)).await?.map_err(|error| ApiError::Internal(error.to_string().into()))
    }

    /// Whether `password` is the one that `stored` was made of. No stored hash takes as long as any, and fits none.
    pub(super) async fn fits(&self, password: SecretString, stored: Option<String>) -> Result<bool, ApiError> {
        self.work(move || {
            let is_known = stored.is_some();
            let stored = stored.as_deref().unwrap_or_else(|| nobodys_hash());
            if is_imported(stored) {
                return fits_imported(&password, stored);
            }
            let parsed = PasswordHash::new(stored).map_err(|error| error.to_string())?;
            let fits = argon2().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
            Ok(fits && is_known)
        })
        .await?
        .map_err(|error: String| ApiError::Internal(error.into()))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let busy = |reason: &'static str| ApiError::unavailable("password hashing", reason);
        let _waiting = self.waiting.try_acquire().map_err(|_full| busy("too many requests wait for it"))?;
        let turn = tokio::time::timeout(TURN_WITHIN, Arc::clone(&self.running).acquire_owned())
            .await
            .map_err(|_elapsed| busy("no turn in time"))?
            .expect("the semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || {
            // Held by the thread: a caller who goes away does not make room for more work.
            let _turn = turn;
            work()
        });
        done.await.map_err(|panic| ApiError::Internal(panic.into()))
    }
}

/// Whether a stored hash is bcrypt's. Its time is another than argon2's, and tells that the account came from elsewhere
/// and was not used since.
pub(super) fn is_imported(stored: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|version| stored.starts_with(version))
}

fn fits_imported(password: &SecretString, stored: &str) -> Result<bool, String> {
    // The error's own words may hold the hash.
    let malformed = |_may_hold_the_hash: bcrypt::BcryptError| "a stored bcrypt hash is malformed".to_owned();
    let parts: bcrypt::HashParts = stored.parse().map_err(malformed)?;
    if parts.get_cost() > IMPORTED_COST_MAX {
        return Err(format!("a stored bcrypt hash has cost {}", parts.get_cost()));
    }
    // As its makers do, it reads no more than the password's first 72 bytes.
    bcrypt::verify(password.expose_secret(), stored).map_err(malformed)
}

/// The crate's default is what we want: argon2id, m = 19 MiB, t = 2, p = 1. A test says when that changes.
fn argon2() -> Argon2<'static> {
    Argon2::default()
}

fn hash(password: &SecretString) -> Result<String, argon2::password_hash::Error> {
    argon2().hash_password(password.expose_secret().as_bytes()).map(|hash| hash.to_string())
}

/// A hash of nobody's password, with the same cost as everybody's.
fn nobodys_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash(&SecretString::from("nobody")).expect("a constant password can be hashed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_fits_its_own_hash_and_nobody_fits_nobodys() {
        let passwords = Passwords::new();
        let stored = passwords.hash(SecretString::from("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let fits = async |password: &str, stored: Option<String>| {
            passwords.fits(SecretString::from(password), stored).await.unwrap()
        };
        assert!(fits("correct horse", Some(stored.clone())).await);
        assert!(!fits("wrong horse", Some(stored)).await);
        assert!(!fits("nobody", None).await);
    }

    #[tokio::test]
    async fn a_password_fits_the_bcrypt_hash_it_came_with() {
        let passwords = Passwords::new();
        let fits = async |password: &str, stored: &str| {
            passwords.fits(SecretString::from(password), Some(stored.to_owned())).await
        };
        let stored = "$2b$04$EGdrhbKUv8Oc9vGiXX0HQOxSg445d458Muh7DAHskb6QbtCvdxcie";
        assert!(fits("correctbatteryhorsestapler", stored).await.unwrap());
        assert!(!fits("wrong", stored).await.unwrap());
        assert!(!fits("wrong\0", stored).await.unwrap());
        assert!(fits("any", &stored.replace("$04$", "$16$")).await.is_err(), "it would take for ever");
        assert!(fits("any", &stored[..50]).await.is_err());
        assert!(is_imported(stored) && !is_imported(nobodys_hash()));
    }
}
