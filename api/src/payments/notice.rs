//! What a provider sends to the webhook: signed over time and body, in Stripe's form.

use std::time::Duration;

use aws_lc_rs::hmac;
use schema::{clock::Timestamp, problem::Code};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use warp::http::HeaderMap;

use super::model::Word;
use crate::error::ApiError;

/// How old a signature may be: what was sent long ago is a replay.
const TOLERANCE: Duration = Duration::from_mins(5);
/// The longest name of a notice or a payment, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// One notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// The provider's name of it.
    pub(super) id: String,
    /// The provider's name of the payment, and what it says of it; none if it is about something else.
    pub(super) word: Option<(String, Word)>,
}

/// Checks the signature, `Stripe-Signature: t=<unix seconds>,v1=<hex>[,v1=…]`.
pub(super) fn check_signature(
    headers: &HeaderMap,
    body: &[u8],
    secret: &SecretString,
    now: Timestamp,
) -> Result<(), ApiError> {
    let refused = |why: &'static str| ApiError::refused(Code::InvalidSignature, why);
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| refused("there is no Stripe-Signature"))?;
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let signed_at = parts().find(|(name, _)| *name == "t").map(|(_, value)| value);
    let seconds: i64 = signed_at.and_then(|at| at.parse().ok()).ok_or_else(|| refused("it has no time"))?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let mut signed = format!("{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let fits = |hex: &str| hex::decode(hex).is_ok_and(|tag| hmac::verify(&key, &signed, &tag).is_ok());
    if !parts().any(|(name, value)| name == "v1" && fits(value)) {
        return Err(refused("it is not of this body"));
    }
    let age = Duration::from_millis(now.unix_millis().abs_diff(seconds.saturating_mul(1_000)));
    if age > TOLERANCE { Err(refused("it is too old")) } else { Ok(()) }
}

/// Reads a notice.
pub(super) fn read(body: &[u8]) -> Result<Notice, ApiError> {
    let refused = || ApiError::refused(Code::InvalidRequest, "this is no notice of a payment");
    let value: Value = serde_json::from_slice(body).map_err(|_not_json| refused())?;
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    let name = |pointer: &str| text(pointer).filter(|name| name.len() <= NAME_BYTES_MAX).map(str::to_owned);
    let id = name("/id").ok_or_else(refused)?;
    let of_intent = |word| name("/data/object/id").map(|reference| (reference, word));
    let word = match text("/type").ok_or_else(refused)? {
        "payment_intent.amount_capturable_updated" => of_intent(Word::Authorised),
        "payment_intent.succeeded" => of_intent(Word::Captured),
        "payment_intent.payment_failed" => of_intent(Word::Declined),
        "payment_intent.canceled" => of_intent(Word::Cancelled),
        "charge.refunded" => {
            let amount = value.pointer("/data/object/amount_refunded").and_then(Value::as_i64);
            name("/data/object/payment_intent")
                .zip(amount)
                .map(|(reference, amount)| (reference, Word::Refunded(amount)))
        }
        // What we did not ask to hear of.
        _ => return Ok(Notice { id, word: None }),
    };
    let word = word.ok_or_else(refused)?;
    Ok(Notice { id, word: Some(word) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn a_signature_is_of_this_body_and_of_now() {
        let secret = SecretString::from("whsec");
        let now = Timestamp::from_unix_millis(1_700_000_000_500).expect("a time");
        let tag = |at: i64, body: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, b"whsec");
            let tag = hmac::sign(&key, format!("{at}.{body}").as_bytes());
            hex::encode(tag)
        };
        let check = |header: &str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("stripe-signature", HeaderValue::from_str(header).expect("a header"));
            check_signature(&headers, body.as_bytes(), &secret, now).is_ok()
        };
        let at = 1_700_000_000;
        assert!(check(&format!("t={at},v1={}", tag(at, "{}")), "{}"));
        assert!(
            check(&format!("t={at}, v1=00, v1={}", tag(at, "{}")), "{}"),
            "while a secret is changed there are two"
        );
        assert!(!check(&format!("t={at},v1={}", tag(at, "{}")), "{ }"));
        assert!(!check(&format!("t={},v1={}", at + 1, tag(at, "{}")), "{}"));
        assert!(!check(&format!("t={},v1={}", at - 301, tag(at - 301, "{}")), "{}"), "too old");
        assert!(!check(&format!("v1={}", tag(at, "{}")), "{}"));
        assert!(!check(&format!("t={at},v1=zz"), "{}"));
        assert!(check_signature(&HeaderMap::new(), b"{}", &secret, now).is_err());
    }

    #[test]
    fn a_notice_names_a_payment_or_is_about_something_else() {
        let word = |kind: &str, object: Value| {
            let body = json!({"id": "evt_1", "type": kind, "data": {"object": object}});
            read(body.to_string().as_bytes()).map(|notice| notice.word).map_err(|error| error.code())
        };
        let intent = json!({"id": "pi_1"});
        assert_eq!(word("payment_intent.succeeded", intent.clone()), Ok(Some(("pi_1".into(), Word::Captured))));
        assert_eq!(word("payment_intent.canceled", intent.clone()), Ok(Some(("pi_1".into(), Word::Cancelled))));
        let charge = json!({"payment_intent": "pi_1", "amount_refunded": 5});
        assert_eq!(word("charge.refunded", charge), Ok(Some(("pi_1".into(), Word::Refunded(5)))));
        assert_eq!(word("customer.created", intent), Ok(None));
        assert_eq!(word("payment_intent.succeeded", json!({})), Err(Code::InvalidRequest));
        assert_eq!(read(b"[]").map_err(|error| error.code()), Err(Code::InvalidRequest));
    }
}
