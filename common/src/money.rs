//! Money: whole minor units of an ISO 4217 currency.
//!
//! Amounts are integers everywhere. The decimal number is only for display and is never used in a calculation.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The highest price of a unit, in minor units. An `f64` still shows the price of 10,000 such units exactly.
pub const PRICE_MINOR_MAX: i64 = 100_000_000_000;

/// The codes of ISO 4217 in alphabetical order, each followed by its number of decimal digits.
const CODES: [&str; 183] = [
    "AED2", "AFN2", "ALL2", "AMD2", "AOA2", "ARS2", "AUD2", "AWG2", "AZN2", "BAM2", "BBD2", "BDT2",
    "BGN2", "BHD3", "BIF0", "BMD2", "BND2", "BOB2", "BOV2", "BRL2", "BSD2", "BTN2", "BWP2", "BYN2",
    "BZD2", "CAD2", "CDF2", "CHE2", "CHF2", "CHW2", "CLF4", "CLP0", "CNY2", "COP2", "COU2", "CRC2",
    "CUC2", "CUP2", "CVE2", "CZK2", "DJF0", "DKK2", "DOP2", "DZD2", "EGP2", "ERN2", "ETB2", "EUR2",
    "FJD2", "FKP2", "GBP2", "GEL2", "GHS2", "GIP2", "GMD2", "GNF0", "GTQ2", "GYD2", "HKD2", "HNL2",
    "HRK2", "HTG2", "HUF2", "IDR2", "ILS2", "INR2", "IQD3", "IRR2", "ISK0", "JMD2", "JOD3", "JPY0",
    "KES2", "KGS2", "KHR2", "KMF0", "KPW2", "KRW0", "KWD3", "KYD2", "KZT2", "LAK2", "LBP2", "LKR2",
    "LRD2", "LSL2", "LYD3", "MAD2", "MDL2", "MGA2", "MKD2", "MMK2", "MNT2", "MOP2", "MRU2", "MUR2",
    "MVR2", "MWK2", "MXN2", "MXV2", "MYR2", "MZN2", "NAD2", "NGN2", "NIO2", "NOK2", "NPR2", "NZD2",
    "OMR3", "PAB2", "PEN2", "PGK2", "PHP2", "PKR2", "PLN2", "PYG0", "QAR2", "RON2", "RSD2", "RUB2",
    "RWF0", "SAR2", "SBD2", "SCR2", "SDG2", "SEK2", "SGD2", "SHP2", "SLE2", "SLL2", "SOS2", "SRD2",
    "SSP2", "STN2", "SVC2", "SYP2", "SZL2", "THB2", "TJS2", "TMT2", "TND3", "TOP2", "TRY2", "TTD2",
    "TWD2", "TZS2", "UAH2", "UGX0", "USD2", "USN2", "UYI0", "UYU2", "UYW4", "UZS2", "VED2", "VES2",
    "VND0", "VUV0", "WST2", "XAD2", "XAF0", "XAG0", "XAU0", "XBA0", "XBB0", "XBC0", "XBD0", "XCD2",
    "XCG2", "XDR0", "XOF0", "XPD0", "XPF0", "XPT0", "XSU0", "XTS0", "XUA0", "XXX0", "YER2", "ZAR2",
    "ZMW2", "ZWG2", "ZWL2",
];

/// An ISO 4217 currency: an entry of `CODES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency(&'static str);

impl Currency {
    /// All currencies, in alphabetical order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.into_iter().map(Self)
    }

    /// The three-letter code, for example `USD`.
    #[must_use]
    pub fn code(self) -> &'static str {
        &self.0[..3]
    }

    /// The decimal number shown for an amount in minor units: 9999 is 99.99 in USD and 9999 in JPY.
    #[must_use]
    pub fn decimal(self, amount_minor: i64) -> f64 {
        let digits = i32::from(self.0.as_bytes()[3] - b'0');
        amount_minor as f64 / 10_f64.powi(digits)
    }
}

/// A text is not a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 4217 code of three capital letters")]
pub struct InvalidCurrency;

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        CODES
            .binary_search_by(|entry| entry[..3].cmp(text))
            .map(|at| Self(CODES[at]))
            .map_err(|_| InvalidCurrency)
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
    fn amounts_have_the_decimal_digits_of_their_currency() {
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
    fn currencies_are_parsed_from_codes_of_the_standard_only() {
        for currency in Currency::all() {
            assert_eq!(currency.code().parse(), Ok(currency));
        }
        for wrong in ["usd", "XYZ", "", "USD2", "US", "€"] {
            assert_eq!(wrong.parse::<Currency>(), Err(InvalidCurrency), "{wrong}");
        }
    }
}
