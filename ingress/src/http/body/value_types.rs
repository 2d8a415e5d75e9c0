//! Types of values in request bodies. Each knows how to read a value and how to describe it.

use chrono::{DateTime, Datelike, Utc};
use holdfast_common::id::{HoldId, OrderReference};
use holdfast_common::money::Currency;
use holdfast_common::time::Timestamp;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::http::openapi::schemas;

/// The longest id that a payment provider may give a payment, in characters.
pub const PAYMENT_ID_CHARS_MAX: usize = 255;

/// Up to this number (2^53) an `f64` represents every whole number.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

pub trait ValueType: Sized {
    type Value;

    /// # Errors
    /// The rest of a sentence that begins with the field's name: "must be ...".
    fn read(&self, value: &Value) -> Result<Self::Value, String>;

    fn schema(&self) -> RefOr<Schema>;

    /// This type with a description of the field in the schema.
    fn about(self, description: &'static str) -> Described<Self> {
        Described(self, description)
    }
}

/// A value type with the description of one field.
#[derive(Clone, Copy, Debug)]
pub struct Described<V>(V, &'static str);

impl<V: ValueType> ValueType for Described<V> {
    type Value = V::Value;

    fn read(&self, value: &Value) -> Result<V::Value, String> {
        self.0.read(value)
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::described(self.0.schema(), self.1)
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug)]
pub struct Integer {
    least: i64,
    most: i64,
}

#[must_use]
pub const fn integer(least: i64, most: i64) -> Integer {
    Integer { least, most }
}

impl Integer {
    #[must_use]
    pub fn allows(self, number: i64) -> bool {
        (self.least..=self.most).contains(&number)
    }
}

impl ValueType for Integer {
    type Value = i64;

    /// JSON has one type of number, so 2.0 is a whole number like 2.
    fn read(&self, value: &Value) -> Result<i64, String> {
        let Self { least, most } = *self;
        let is_exact = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT_MAX;
        let from_float = || value.as_f64().filter(is_exact).map(|number| number as i64);
        value
            .as_i64()
            .or_else(from_float)
            .filter(|number| self.allows(*number))
            .ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::integer(self.least, self.most).into()
    }
}

/// A string of 1 to `chars_max` characters without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    chars_max: usize,
}

#[must_use]
pub const fn text(chars_max: usize) -> Text {
    Text { chars_max }
}

impl Text {
    #[must_use]
    pub fn allows(self, text: &str) -> bool {
        // The comparison of bytes comes first, so that a long string is not counted.
        !text.is_empty()
            && text.len() <= 4 * self.chars_max
            && text.chars().count() <= self.chars_max
            && !text.chars().any(char::is_control)
    }
}

impl ValueType for Text {
    type Value = String;

    fn read(&self, value: &Value) -> Result<String, String> {
        let text = value.as_str().filter(|text| self.allows(text));
        text.map(str::to_owned).ok_or_else(|| {
            let chars_max = self.chars_max;
            format!("must be a text of 1 to {chars_max} printable characters")
        })
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::text(self.chars_max).into()
    }
}

/// An RFC 3339 time.
#[derive(Clone, Copy, Debug)]
pub struct Time;

impl ValueType for Time {
    type Value = Timestamp;

    fn read(&self, value: &Value) -> Result<Timestamp, String> {
        let time = value
            .as_str()
            .and_then(|text| DateTime::parse_from_rfc3339(text).ok())
            .map(|time| Timestamp::from(time.to_utc()));
        // A leap second or an offset may lead beyond the years of RFC 3339, and Postgres has no year 0.
        let has_valid_year =
            |time: &Timestamp| (1..=9999).contains(&DateTime::<Utc>::from(*time).year());
        time.filter(has_valid_year)
            .ok_or_else(|| "must be an RFC 3339 time of the years 1 to 9999".to_owned())
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::time().into()
    }
}

/// The id of a hold.
#[derive(Clone, Copy, Debug)]
pub struct Id;

impl ValueType for Id {
    type Value = HoldId;

    fn read(&self, value: &Value) -> Result<HoldId, String> {
        let text = value.as_str().ok_or("must be a text")?;
        text.parse::<HoldId>().map_err(|error| error.to_string())
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::id().into()
    }
}

/// An order's id or reference.
#[derive(Clone, Copy, Debug)]
pub struct OrderName;

impl ValueType for OrderName {
    type Value = HoldId;

    fn read(&self, value: &Value) -> Result<HoldId, String> {
        let text = value.as_str().unwrap_or_default();
        text.parse()
            .map(OrderReference::order_id)
            .map_err(|_| "must be an order's id or reference".to_owned())
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::order_name().into()
    }
}

/// An ISO 4217 code.
#[derive(Clone, Copy, Debug)]
pub struct CurrencyCode {
    /// Some payment providers send small letters. A payment that happened must not be rejected for them.
    pub any_case: bool,
}

impl ValueType for CurrencyCode {
    type Value = Currency;

    fn read(&self, value: &Value) -> Result<Currency, String> {
        let text = value.as_str().ok_or("must be a text")?;
        let currency = if self.any_case {
            text.to_ascii_uppercase().parse::<Currency>()
        } else {
            text.parse()
        };
        currency.map_err(|error| error.to_string())
    }

    fn schema(&self) -> RefOr<Schema> {
        schemas::currency().into()
    }
}

/// A value that only one body has.
#[derive(Clone, Copy, Debug)]
pub struct Custom<T> {
    pub read: fn(&Value) -> Result<T, String>,
    pub schema: fn() -> RefOr<Schema>,
}

impl<T> ValueType for Custom<T> {
    type Value = T;

    fn read(&self, value: &Value) -> Result<T, String> {
        (self.read)(value)
    }

    fn schema(&self) -> RefOr<Schema> {
        (self.schema)()
    }
}
