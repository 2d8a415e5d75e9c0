//! The body of `POST /api/holds`. It has a fast reader, because holds are most of a sale's requests.

use holdfast_common::command::{CUSTOMER_CHARS_MAX, QUANTITY_MAX};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::body::fields::{Fields, RequestBody, impl_body_schema};
use crate::http::body::value_types::{Integer, Text, ValueType, integer, text};
use crate::http::problem::Problem;

const PRODUCT_ID: Integer = integer(1, i64::MAX);
const QUANTITY: Integer = integer(1, QUANTITY_MAX as i64);
const CUSTOMER_ID: Text = text(CUSTOMER_CHARS_MAX);

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct NewHold {
    pub(super) product_id: i64,
    pub(super) quantity: u32,
    pub(super) customer_id: Option<String>,
}

impl_body_schema!(NewHold as "NewHold");

impl RequestBody for NewHold {
    const DESCRIPTION: &'static str = "A hold to create.";

    fn example() -> Value {
        json!({"product_id": 1, "quantity": 2, "customer_id": "c-1"})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let product_id = fields.required("product_id", PRODUCT_ID);
        let quantity = fields.required("quantity", QUANTITY.about("Units"));
        let customer_id = CUSTOMER_ID
            .about("The customer of the hold. Purchase limits and rate limits count by customer.");
        let customer_id = fields.optional("customer_id", customer_id);
        Some(Self {
            product_id: product_id?,
            quantity: quantity? as u32,
            customer_id,
        })
    }

    /// serde reads a valid hold without an intermediate map. Any other body is read by field, to list what is invalid.
    fn parse(json: &[u8]) -> Result<Self, Problem> {
        // serde would also read an array.
        let is_object = json.trim_ascii_start().first() == Some(&b'{');
        match serde_json::from_slice::<Self>(json) {
            Ok(hold) if is_object && hold.is_within_bounds() => Ok(hold),
            _ => Self::parse_by_field(json),
        }
    }
}

impl NewHold {
    fn is_within_bounds(&self) -> bool {
        PRODUCT_ID.allows(self.product_id)
            && QUANTITY.allows(self.quantity.into())
            && self
                .customer_id
                .as_ref()
                .is_none_or(|id| CUSTOMER_ID.allows(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_hold_reads_alike_by_serde_and_by_field() {
        let values = [
            json!(1),
            json!(0),
            json!(10_000),
            json!(10_001),
            json!(-1),
            json!(1.0),
            json!(1e3),
            json!("1"),
            json!(null),
            json!(i64::MAX),
            json!(u64::MAX),
            json!("c-1"),
            json!(""),
            json!("a\nb"),
            json!("ü".repeat(255)),
            json!("x".repeat(256)),
            json!([]),
            json!({}),
        ];
        let mut valid = 0;
        for field in ["product_id", "quantity", "customer_id", "colour"] {
            for value in &values {
                let mut body = json!({"product_id": 1, "quantity": 1, "customer_id": "c-1"});
                body[field] = value.clone();
                let json = body.to_string().into_bytes();
                let result = |read: Result<NewHold, Problem>| {
                    read.map_err(|problem| serde_json::to_value(problem).unwrap())
                };
                let read = result(NewHold::parse(&json));
                assert_eq!(read, result(NewHold::parse_by_field(&json)), "{body}");
                let is_read_by_serde = serde_json::from_value::<NewHold>(body.clone())
                    .is_ok_and(|hold| hold.is_within_bounds());
                // 1.0 and 1e3 are whole numbers, which only the reader by field accepts.
                let is_fraction = [json!(1.0), json!(1e3)].contains(value);
                assert!(is_read_by_serde == read.is_ok() || is_fraction, "{body}");
                valid += usize::from(is_read_by_serde);
            }
        }
        assert!(valid > 5);
    }

    #[test]
    fn new_hold_may_come_without_a_customer() {
        let hold = NewHold {
            product_id: 7,
            quantity: 2,
            customer_id: None,
        };
        for body in [
            r#"{"product_id":7,"quantity":2}"#,
            r#"{"quantity":2,"customer_id":null,"product_id":7}"#,
            // Of two fields with one name, the last counts, as in most JSON readers.
            r#"{"product_id":1,"product_id":7,"quantity":2}"#,
        ] {
            assert_eq!(NewHold::parse(body.as_bytes()).unwrap(), hold);
        }
    }
}
