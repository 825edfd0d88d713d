//! Codes for phones: six digits that work once, for five minutes and five tries. Redis keeps only what a key of ours
//! makes of them, so who reads it learns neither codes nor numbers.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use deadpool_redis::redis::Script;
use secrecy::ExposeSecret as _;

use super::{code_sender::CodeSender, phone::PhoneNumber};
use crate::{
    config::SignInSettings,
    error::ApiError,
    random,
    redis::{Redis, RedisAway},
};

/// Makes codes, has them sent and knows them again.
pub(crate) struct PhoneCodes {
    redis: Redis,
    key: hmac::Key,
    sender: CodeSender,
    keep: Script,
    redeem: Script,
}

/// How long a code works.
pub(super) const VALID_FOR: Duration = Duration::from_mins(5);
/// Wrong tries after which a code is forgotten.
const TRIES_MAX: u32 = 5;
/// Six digits make as many codes.
const CODES: u64 = 1_000_000;

/// KEYS: the number's. ARGV: the code, as it is kept, and its validity in ms. An older code stops working.
const KEEP: &str = r"
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'code', ARGV[1], 'tries', 0)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
";

/// KEYS: the number's. ARGV: the code, as it is kept, and the most tries. In one step: two who try at once share the
/// tries, and a code works for one of them.
const REDEEM: &str = r"
local code = redis.call('HGET', KEYS[1], 'code')
if not code then
  return 0
end
if code == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return 1
end
if redis.call('HINCRBY', KEYS[1], 'tries', 1) >= tonumber(ARGV[2]) then
  redis.call('DEL', KEYS[1])
end
return 0
";

impl PhoneCodes {
    /// By the settings; `None` where there is nobody to send codes.
    pub(crate) fn new(redis: Redis, settings: &SignInSettings, is_development: bool) -> anyhow::Result<Option<Self>> {
        let Some(sender) = CodeSender::new(settings, is_development)? else { return Ok(None) };
        let key = match &settings.phone_code_key {
            Some(key) => hmac::Key::new(hmac::HMAC_SHA256, key.expose_secret().as_bytes()),
            // In development alone: production was refused before.
            None => hmac::Key::new(hmac::HMAC_SHA256, &random::bytes::<32>()?),
        };
        Ok(Some(Self { redis, key, sender, keep: Script::new(KEEP), redeem: Script::new(REDEEM) }))
    }

    /// Sends `phone` a new code; an older one stops working.
    pub(super) async fn send(&self, phone: &PhoneNumber) -> Result<(), ApiError> {
        let code = random_code()?;
        let kept = self.mac(&["code", phone.as_str(), &code]);
        let valid_for = VALID_FOR.as_millis().to_string();
        let arguments: [&[u8]; 2] = [kept.as_ref(), valid_for.as_bytes()];
        // Kept before it is sent: it works when it arrives.
        self.redis.run::<()>(&self.keep, &[self.redis_key(phone)], &arguments).await.map_err(away)?;
        self.sender.send(phone, &code).await
    }

    /// Uses a code up; answers whether it was the right one.
    pub(super) async fn redeem(&self, phone: &PhoneNumber, code: &str) -> Result<bool, ApiError> {
        let tried = self.mac(&["code", phone.as_str(), code]);
        let tries_max = TRIES_MAX.to_string();
        let arguments: [&[u8]; 2] = [tried.as_ref(), tries_max.as_bytes()];
        self.redis.run(&self.redeem, &[self.redis_key(phone)], &arguments).await.map_err(away)
    }

    /// What stands for `phone` in Redis: there are so few numbers that a plain hash would tell them.
    pub(super) fn name_of(&self, phone: &PhoneNumber) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.mac(&["number", phone.as_str()]))
    }

    fn redis_key(&self, phone: &PhoneNumber) -> String {
        format!("{}:phone-code:{{{}}}", self.redis.prefix(), self.name_of(phone))
    }

    fn mac(&self, parts: &[&str]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(part.as_bytes());
            // No part of ours has a zero in it; a code that somebody tried may, and is the last.
            context.update(&[0]);
        }
        context.sign()
    }
}

fn random_code() -> Result<String, ApiError> {
    // Of so many bits the remainder is as good as even.
    let number = u64::from_be_bytes(random::bytes()?) % CODES;
    Ok(format!("{number:06}"))
}

fn away(error: RedisAway) -> ApiError {
    ApiError::unavailable("redis", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits() {
        for _ in 0..100 {
            let code = random_code().unwrap();
            assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        }
    }
}
