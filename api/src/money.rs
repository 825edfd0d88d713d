//! Money: a whole number of its currency's smallest unit, never a fraction.

use serde::Serialize;
use serde_json::Value;

/// An amount in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    /// In the currency's minor unit: cents of EUR, whole KRW.
    pub(crate) amount: i64,
    /// Three letters, ISO 4217.
    pub(crate) currency: String,
}

/// The most that anything costs here.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

impl Money {
    /// Reads `{"amount": 1500, "currency": "EUR"}`.
    pub(crate) fn read(value: &Value) -> Result<Self, &'static str> {
        let fields = value.as_object().ok_or("not_an_object")?;
        // A number with a point is no whole number, even if nothing stands behind the point.
        let amount = fields.get("amount").and_then(Value::as_i64).ok_or("not_a_whole_amount")?;
        if !(0..=AMOUNT_MAX).contains(&amount) {
            return Err("out_of_range");
        }
        let currency = fields.get("currency").and_then(Value::as_str).ok_or("not_a_currency")?;
        Ok(Self { amount, currency: currency_code(currency).ok_or("not_a_currency")? })
    }
}

/// Three letters, in capitals.
pub(crate) fn currency_code(text: &str) -> Option<String> {
    (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())).then(|| text.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_amount_is_a_whole_number_with_its_currency() {
        let check = |value: Value, expected: Result<(i64, &str), &str>| {
            let found = Money::read(&value);
            let found = found.as_ref().map(|money| (money.amount, money.currency.as_str())).map_err(|code| *code);
            assert_eq!(found, expected, "{value}");
        };
        check(json!({"amount": 1500, "currency": "eur"}), Ok((1500, "EUR")));
        check(json!({"amount": 0, "currency": "KRW"}), Ok((0, "KRW")));
        check(json!({"amount": 15.0, "currency": "EUR"}), Err("not_a_whole_amount"));
        check(json!({"amount": "15", "currency": "EUR"}), Err("not_a_whole_amount"));
        check(json!({"amount": -1, "currency": "EUR"}), Err("out_of_range"));
        check(json!({"amount": 1_000_000_000_001_i64, "currency": "EUR"}), Err("out_of_range"));
        check(json!({"amount": 1, "currency": "EURO"}), Err("not_a_currency"));
        check(json!({"amount": 1}), Err("not_a_currency"));
        check(json!(15), Err("not_an_object"));
    }
}
