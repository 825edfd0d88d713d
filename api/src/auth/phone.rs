//! Sign-in by a code that is sent to a phone: who can read it has the number.

use std::{ops::RangeInclusive, time::Duration};

use schema::{problem::Code, text::DisplayName};
use serde::Serialize;
use serde_json::Value;

use super::{
    identities::{self, Provider, Vouched},
    phone_codes::{PhoneCodes, VALID_FOR},
    service::SignedIn,
};
use crate::{
    error::ApiError,
    http::{Form, Visitor, any_text, text},
    limit::{Quota, Rate},
    state::AppState,
};

/// A number in E.164, as `+821012345678`.
pub(super) struct PhoneNumber(String);

/// The answer to who asked for a code.
#[derive(Serialize)]
pub(super) struct Started {
    /// Seconds for which the code works.
    expires_in: u64,
    /// Seconds after which the same number may have another.
    retry_after: u64,
}

/// When a number may have another code.
const AGAIN: Duration = Duration::from_secs(90);
/// Codes to one number: one in [`AGAIN`], three in any ten minutes, ten in any day. A burst and its pace let through,
/// in any period, the burst and one more for each `every` that begins within it.
const NUMBER_RATES: [(&str, Rate); 3] = [
    ("soon", Rate { burst: 1, every: AGAIN }),
    ("10min", Rate { burst: 3, every: Duration::from_mins(10) }),
    ("day", Rate { burst: 7, every: Duration::from_hours(6) }),
];
/// Codes to all numbers of one prefix: sixty in any hour. Who is paid for texts to a range of numbers asks for them.
const PREFIX_RATE: Rate = Rate { burst: 30, every: Duration::from_mins(2) };
/// The prefix: the plus and six digits.
const PREFIX_BYTES: usize = 7;

impl PhoneNumber {
    const DIGITS: RangeInclusive<usize> = 8..=15;

    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('+')?;
        // No country's code begins with a zero.
        let is_number = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && Self::DIGITS.contains(&digits.len())).then(|| Self(text.to_owned()))
    }

    /// The number.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn prefix(&self) -> &str {
        self.0.get(..PREFIX_BYTES).unwrap_or(&self.0)
    }
}

/// Sends a code to a number.
pub(super) async fn start(state: &AppState, form: Result<Form, ApiError>) -> Result<Started, ApiError> {
    let codes = codes(state)?;
    let mut form = form?;
    let phone = form.required("phone", phone_number);
    form.finish()?;
    let phone = phone.ok_or_else(ApiError::unread_form)?;
    let name = codes.name_of(&phone);
    take(state, &format!("phone:{name}"), &NUMBER_RATES).await?;
    take(state, &format!("phone-prefix:{}", phone.prefix()), &[("codes", PREFIX_RATE)]).await?;
    // What could not be sent stays counted: a sender may fail after it has sent, and be paid for it.
    codes.send(&phone).await?;
    Ok(Started { expires_in: VALID_FOR.as_secs(), retry_after: AGAIN.as_secs() })
}

/// Signs in who has read the code, or gives the token's user this way in.
pub(super) async fn verify(
    state: &AppState,
    visitor: &Visitor,
    form: Result<Form, ApiError>,
) -> Result<SignedIn, ApiError> {
    let codes = codes(state)?;
    let owner = identities::owner(state, visitor).await?;
    let mut form = form?;
    let phone = form.required("phone", phone_number);
    let code = form.required("code", any_text);
    let display_name = form.optional("display_name", text(DisplayName::parse));
    form.finish()?;
    let (Some(phone), Some(code)) = (phone, code) else {
        return Err(ApiError::unread_form());
    };
    if !codes.redeem(&phone, &code).await? {
        let subscriber = visitor.subscriber.as_str();
        tracing::info!(security = "sign_in_failed", provider = "phone", subscriber, "sign-in refused");
        return Err(ApiError::refused(Code::InvalidCredentials, "the code is wrong, used or over"));
    }
    let vouched = Vouched {
        provider: Provider::Phone,
        subject: phone.0,
        display_name: display_name.unwrap_or_else(identities::guest),
        email: None,
    };
    identities::sign_in(state, owner, &vouched).await
}

fn codes(state: &AppState) -> Result<&PhoneCodes, ApiError> {
    let not_set_up = || ApiError::refused(Code::NotFound, "sign-in by phone is not set up here");
    state.phone_codes.as_ref().ok_or_else(not_set_up)
}

async fn take(state: &AppState, whose: &str, rates: &[(&'static str, Rate)]) -> Result<(), ApiError> {
    state.limiter.take(whose, rates).await.map_or(Ok(()), Quota::check)
}

fn phone_number(value: &Value) -> Result<PhoneNumber, &'static str> {
    PhoneNumber::parse(value.as_str().ok_or("not_a_string")?).ok_or("not_a_phone_number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_plus_and_8_to_15_digits() {
        let check = |text: &str, expected: Option<&str>| {
            let number = PhoneNumber::parse(text);
            assert_eq!(number.as_ref().map(PhoneNumber::prefix), expected, "{text}");
        };
        check("+821012345678", Some("+821012"));
        check("+12345678", Some("+123456"));
        check("+123456789012345", Some("+123456"));
        let wrong = ["", "+", "821012345678", "+1234567", "+1234567890123456", "+82 1012345678", "+0123456789"];
        for text in wrong {
            check(text, None);
        }
        // Digits, but not those of a telephone.
        check("+\u{0661}\u{0662}\u{0663}\u{0664}\u{0665}", None);
    }

    #[test]
    fn no_period_lets_more_codes_through_than_meant() {
        let most = |rate: Rate, period: Duration| {
            let more = period.as_secs().div_ceil(rate.every.as_secs()) - 1;
            u64::from(rate.burst) + more
        };
        let [(_, soon), (_, ten_minutes), (_, day)] = NUMBER_RATES;
        assert_eq!(most(soon, AGAIN), 1);
        assert_eq!(most(ten_minutes, Duration::from_mins(10)), 3);
        assert_eq!(most(day, Duration::from_hours(24)), 10);
        assert!(most(PREFIX_RATE, Duration::from_hours(1)) <= 60);
    }
}
