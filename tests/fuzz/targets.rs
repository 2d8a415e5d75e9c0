//! The parsers, and the properties that hold for every input.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_common::encryption::Keyring;
use holdfast_common::id::{HoldId, OrderReference, RequestId};
use holdfast_common::messages::envelope::{self, EnvelopeBuilder};
use holdfast_common::settings::{Networks, Secret};
use holdfast_common::time::Timestamp;
use holdfast_ingress::http::body::fields::Fields;
use holdfast_ingress::http::body::value_types::{CurrencyCode, Id, Time, integer, text};
use holdfast_ingress::http::prefer::Preference;
use holdfast_ingress::http::signature::{WebhookSecrets, verify};
use holdfast_ingress::server::client_address::client_address;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) struct Target {
    /// The parser's folder in the corpus.
    pub(crate) folder: &'static str,
    /// Panics when a property does not hold for this input.
    pub(crate) check: fn(&[u8]),
    /// Whether the parser accepts an input.
    pub(crate) is_read: fn(&[u8]) -> bool,
}

/// Splits an input into headers, one a line, and a body after an empty line. Lines that are no valid headers are ignored.
fn message(input: &[u8]) -> (HeaderMap, &[u8]) {
    let end = input.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 2..]));
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    (headers, body)
}

pub(crate) const SIGNATURE: Target = Target {
    folder: "signature",
    check: check_signature,
    is_read: is_signed,
};

/// The body that every signature of the corpus signs.
const SIGNED: &[u8] = br#"{"order_id":"01234567-89ab-8cc1-bfed-cba987654321","payment_id":"pay_1","status":"succeeded","timestamp":"2023-11-14T22:13:20Z"}"#;
/// The time of the signatures, in Unix seconds.
const SIGNED_AT: i64 = 1_700_000_000;
const SECRETS: &str = "corpus-secret,whsec_Y29ycHVzLWtleS1vZi0yNC1ieXRlcyEh";

fn is_signed(input: &[u8]) -> bool {
    let secrets = WebhookSecrets::from_setting(Some(&Secret::from(SECRETS.to_owned())));
    let (headers, body) = message(input);
    verify(&headers, body, &secrets, Timestamp(SIGNED_AT * 1_000_000)).is_ok_and(|verified| {
        let _ = verified.key(|| None);
        true
    })
}

fn check_signature(input: &[u8]) {
    assert!(
        !is_signed(input) || message(input).1 == SIGNED,
        "a signature for another body"
    );
    let (headers, body) = message(input);
    let nobody = WebhookSecrets::from_setting(None);
    assert!(
        verify(&headers, body, &nobody, Timestamp(SIGNED_AT * 1_000_000)).is_err(),
        "signed by nobody"
    );
}

pub(crate) const ID: Target = Target {
    folder: "id",
    check: check_id,
    is_read: |input| read_id(input).is_some(),
};

fn read_id(input: &[u8]) -> Option<HoldId> {
    let text = std::str::from_utf8(input).ok()?;
    let reference: OrderReference = text.parse().ok()?;
    Some(reference.order_id())
}

fn check_id(input: &[u8]) {
    let Some(id) = read_id(input) else { return };
    let text = String::from_utf8_lossy(input);
    assert_eq!(
        id.to_string(),
        text.strip_prefix("order_")
            .unwrap_or(&text)
            .to_ascii_lowercase()
    );
    assert_eq!(id.to_string().parse::<RequestId>().ok(), Some(id.request()));
    assert!(id.slot().get() < 4096);
}

pub(crate) const BODY: Target = Target {
    folder: "body",
    check: check_body,
    is_read: |input| Fields::parse(input).is_ok(),
};

fn check_body(input: &[u8]) {
    let is_object =
        serde_json::from_slice::<serde_json::Value>(input).is_ok_and(|value| value.is_object());
    let read = Fields::parse(input);
    assert!(
        is_object || read.is_err(),
        "accepted a body that is not a JSON object"
    );
    let Ok(mut fields) = read else { return };
    let quantity = fields.required("quantity", integer(1, 10_000));
    let name = fields.required("name", text(200));
    fields.optional("order_id", Id);
    fields.optional("currency", CurrencyCode { any_case: false });
    fields.optional("timestamp", Time);
    fields.nullable("sale_starts_at", Time);
    if fields.finish(true).is_ok() {
        assert!(
            quantity.is_some_and(|quantity| (1..=10_000).contains(&quantity))
                && name
                    .as_ref()
                    .is_some_and(|name| (1..=200).contains(&name.chars().count())),
            "{quantity:?} {name:?}"
        );
    }
}

pub(crate) const PREFER: Target = Target {
    folder: "prefer",
    check: check_prefer,
    is_read: |input| Preference::of(&message(input).0).applied().is_some(),
};

fn check_prefer(input: &[u8]) {
    const LONGEST: Duration = Duration::from_secs(5);
    let preference = Preference::of(&message(input).0);
    assert!(preference.wait(LONGEST) <= LONGEST);
    let Some(applied) = preference.applied() else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("prefer", applied);
    assert_eq!(
        Preference::of(&headers),
        preference,
        "`Preference-Applied` differs from the preference"
    );
}

pub(crate) const FORWARDED: Target = Target {
    folder: "forwarded",
    check: check_forwarded,
    is_read: |input| client_address(PROXY, &message(input).0, &proxies()) != PROXY,
};

const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));

fn proxies() -> Networks {
    "10.0.0.0/8".parse().unwrap()
}

fn check_forwarded(input: &[u8]) {
    let headers = message(input).0;
    let _ = client_address(PROXY, &headers, &proxies());
    assert_eq!(client_address(STRANGER, &headers, &proxies()), STRANGER);
}

pub(crate) const ENVELOPE: Target = Target {
    folder: "envelope",
    check: check_envelope,
    is_read: |input| envelope::decode(input, &Keyring::default()).is_ok(),
};

fn check_envelope(input: &[u8]) {
    let _ = envelope::decode_command(input, &Keyring::default());
    let Ok(read) = envelope::decode(input, &Keyring::default()) else {
        return;
    };
    let mut written = EnvelopeBuilder::new(read.reply_to);
    for command in &read.commands {
        assert!(
            written.push(&envelope::encode_command(command)),
            "the commands do not fit into one envelope"
        );
    }
    assert_eq!(
        envelope::decode(&written.finish(&Keyring::default()), &Keyring::default()),
        Ok(read)
    );
}
