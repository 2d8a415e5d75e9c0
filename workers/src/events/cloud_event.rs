//! The events of an audit row, as CloudEvents 1.0 (<https://cloudevents.io>) in JSON.
//!
//! An event has the ids of the changed objects and the stock after the change. It never names a customer or a payment. Its
//! id is its position in the audit, so an event that is made again has the same id.

use std::fmt;
use std::str::FromStr;

use chrono::SecondsFormat;
use holdfast_common::domain::AuditKind;
use holdfast_common::id::OrderReference;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::store::events::AuditRow;

/// CloudEvents' structured mode.
pub(super) const CONTENT_TYPE: &str = "application/cloudevents+json";

/// An event's position in the audit, which is its id: the row, the change in the row (from 1), and 1 for an event that
/// follows from the change (`product.sold_out`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventPosition {
    audit_id: i64,
    entry: usize,
    follows: u8,
}

impl EventPosition {
    /// After all events of a row.
    pub(super) fn after_row(audit_id: i64) -> Self {
        Self {
            audit_id,
            entry: usize::MAX,
            follows: u8::MAX,
        }
    }

    /// The first row that can have an event after this position.
    pub(super) fn next_row(self) -> i64 {
        self.audit_id + i64::from(self == Self::after_row(self.audit_id))
    }
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.audit_id, self.entry, self.follows)
    }
}

impl FromStr for EventPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(());
        let (audit_id, entry, follows) = (part()?, part()?, part()?);
        let read = |_| ();
        Ok(Self {
            audit_id: audit_id.parse().map_err(read)?,
            entry: entry.parse().map_err(read)?,
            follows: follows.parse().map_err(read)?,
        })
    }
}

/// An event as it is published.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    subject: String,
    time: &'a str,
    /// CloudEvents' extension "partitioning": events with the same key are in order.
    partitionkey: String,
    datacontenttype: &'static str,
    data: CloudEventData,
}

#[derive(Serialize)]
struct CloudEventData {
    product_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_reference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<i32>,
    /// The hold's position in the order of the product's holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    available_stock: i32,
    held_stock: i32,
    sold_stock: i32,
}

/// The type of a change's event, and its reason where the type has several. `None` for changes without an event.
fn event_type(kind: AuditKind, quantity: i32) -> Option<(&'static str, Option<&'static str>)> {
    match kind {
        AuditKind::HoldCreated
        | AuditKind::HoldExpired
        | AuditKind::HoldReleased
        | AuditKind::OrderCreated
        | AuditKind::OrderPaid => Some((kind.name(), None)),
        AuditKind::OrderPaymentFailed => Some((kind.name(), Some("payment_failed"))),
        AuditKind::OrderPaymentTimeout => Some((kind.name(), Some("payment_timeout"))),
        AuditKind::PaymentMismatch => Some(("refund.due", Some("mismatch"))),
        AuditKind::RefundDueOrderCancelled => Some(("refund.due", Some("order_cancelled"))),
        AuditKind::RefundDueAlreadyPaid => Some(("refund.due", Some("already_paid"))),
        AuditKind::RefundDueHoldEnded => Some(("refund.due", Some("hold_ended"))),
        AuditKind::RefundDueAgain => Some(("refund.due", Some("asked_again"))),
        AuditKind::ProductRestocked if quantity > 0 => Some((kind.name(), None)),
        AuditKind::HoldConsumed
        // It is paid at once, and `OrderPaid` has the event.
        | AuditKind::OrderReallocated
        | AuditKind::PaymentParked
        | AuditKind::PaymentUnmatched
        | AuditKind::PaymentApplied
        | AuditKind::PaymentIgnored
        | AuditKind::RefundRequested
        | AuditKind::Refunded
        | AuditKind::ProductCreated
        | AuditKind::ProductChanged
        | AuditKind::ProductRestocked
        | AuditKind::ProductRepaired
        | AuditKind::DeadLetterRetried
        | AuditKind::DeadLetterDropped
        | AuditKind::CustomerForgotten => None,
    }
}

/// The events of a row after a position, in order.
pub(super) fn events(
    row: &AuditRow,
    source: &str,
    after: EventPosition,
) -> Vec<(EventPosition, Vec<u8>)> {
    let time = row.at.to_rfc3339_opts(SecondsFormat::Micros, true);
    let (mut events, mut available_before) = (Vec::new(), row.available_before);
    for (change, kind) in row.kind.iter().enumerate() {
        let (quantity, available) = (row.quantity[change], row.available_after[change]);
        let sold_out =
            (available == 0 && available_before > 0).then_some(("product.sold_out", None));
        available_before = available;
        // A kind of a newer version is published by that version.
        let own = AuditKind::from_number(*kind).and_then(|kind| event_type(kind, quantity));
        for (follows, event) in [(0, own), (1, sold_out)] {
            let position = EventPosition {
                audit_id: row.audit_id,
                entry: change + 1,
                follows,
            };
            if let Some(event) = event.filter(|_| position > after) {
                events.push((position, body(row, change, source, &time, position, event)));
            }
        }
    }
    events
}

fn body(
    row: &AuditRow,
    change: usize,
    source: &str,
    time: &str,
    position: EventPosition,
    (kind, reason): (&'static str, Option<&'static str>),
) -> Vec<u8> {
    let product_id = (row.product_id != 0).then_some(row.product_id);
    let is_of = |prefix: &str| kind.starts_with(prefix);
    let subject = Some(row.subject[change]).filter(|_| !is_of("product."));
    let order_id = subject.filter(|_| !is_of("hold."));
    let event = CloudEvent {
        specversion: "1.0",
        id: position.to_string(),
        source,
        kind,
        subject: subject.map_or(row.product_id.to_string(), |subject| subject.to_string()),
        time,
        partitionkey: row.product_id.to_string(),
        datacontenttype: "application/json",
        data: CloudEventData {
            product_id,
            hold_id: subject,
            order_id,
            order_reference: order_id.map(|id| OrderReference::of_stored(id).to_string()),
            quantity: (!is_of("refund.") && kind != "product.sold_out")
                .then_some(row.quantity[change]),
            sequence: is_of("hold.").then_some(row.sequence[change]),
            reason,
            available_stock: row.available_after[change],
            held_stock: row.held_after[change],
            sold_stock: row.sold_after[change],
        },
    };
    // Can't fail: all keys are strings, and no value has a serializer of its own that fails.
    serde_json::to_vec(&event).unwrap_or_else(|_| Value::Null.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_position_parses_back_and_follows_the_audit_order() {
        let position = EventPosition {
            audit_id: 17,
            entry: 3,
            follows: 1,
        };
        assert_eq!(position.to_string().parse(), Ok(position));
        let earlier: EventPosition = "17-3-0".parse().unwrap();
        assert!(earlier < position && position < EventPosition::after_row(17));
        assert!(EventPosition::after_row(17) < "18-1-0".parse().unwrap());
        for text in ["", "1", "1-2", "1-2-x", "a-1-0", "1-2-3-4"] {
            assert!(text.parse::<EventPosition>().is_err(), "{text}");
        }
    }

    #[test]
    fn sold_out_event_follows_the_hold_of_the_last_unit() {
        let row = AuditRow {
            product_id: 7,
            audit_id: 5,
            at: chrono::DateTime::UNIX_EPOCH,
            available_before: 2,
            kind: vec![
                AuditKind::HoldCreated as i16,
                999,
                AuditKind::HoldCreated as i16,
            ],
            subject: vec![Uuid::nil(); 3],
            quantity: vec![1; 3],
            sequence: vec![1, 1, 2],
            available_after: vec![1, 1, 0],
            held_after: vec![1, 1, 2],
            sold_after: vec![0; 3],
        };
        let all = events(&row, "/holdfast/test", EventPosition::after_row(4));
        let types: Vec<(String, Value)> = all
            .into_iter()
            .map(|(position, body)| (position.to_string(), serde_json::from_slice(&body).unwrap()))
            .map(|(id, body): (String, Value)| (id, body["type"].clone()))
            .collect();
        let expected = [
            ("5-1-0", "hold.created"),
            ("5-3-0", "hold.created"),
            ("5-3-1", "product.sold_out"),
        ];
        assert_eq!(
            types,
            expected.map(|(id, kind)| (id.to_owned(), Value::from(kind)))
        );
        assert_eq!(events(&row, "", "5-3-0".parse().unwrap()).len(), 1);
        assert!(events(&row, "", EventPosition::after_row(5)).is_empty());
    }
}
