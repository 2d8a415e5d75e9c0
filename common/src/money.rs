//! Money: whole minor units of an ISO 4217 currency.
//!
//! Amounts are integers everywhere; the decimal number is only ever shown, never computed with.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The highest price of a unit, in minor units: up to it an `f64` shows what 10,000 of them cost exactly as it is meant.
pub const PRICE_MINOR_MAX: i64 = 100_000_000_000;

/// An ISO 4217 currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The three-letter code, `USD`.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// The decimal number shown for an amount in minor units: 9999 of USD is 99.99, of JPY 9999.
    #[must_use]
    pub fn decimal(self, amount_minor: i64) -> f64 {
        let digits = i32::from(self.0.exponent().unwrap_or(0));
        amount_minor as f64 / 10_f64.powi(digits)
    }
}

/// Says why a text is not a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 code of three capital letters")]
pub struct InvalidCurrency;

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        iso_currency::Currency::from_code(text)
            .map(Self)
            .ok_or(InvalidCurrency)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl Visitor<'_> for Code {
            type Value = Currency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 code")
            }
            fn visit_str<E: de::Error>(self, code: &str) -> Result<Currency, E> {
                code.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Code)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shown_with_the_digits_of_their_currency() {
        let shown =
            |code: &str, minor| code.parse::<Currency>().unwrap().decimal(minor).to_string();
        assert_eq!(shown("USD", 9999), "99.99");
        assert_eq!(shown("JPY", 9999), "9999");
        assert_eq!(shown("KWD", 1), "0.001");
        assert_eq!(
            shown("USD", PRICE_MINOR_MAX * 10_000 - 1),
            "9999999999999.99"
        );
    }

    #[test]
    fn only_codes_of_the_standard_are_currencies() {
        assert!("usd".parse::<Currency>().is_err());
        assert!("XYZ".parse::<Currency>().is_err());
        assert!("".parse::<Currency>().is_err());
    }
}
