//! Unit tests of webhook signatures.

use axum::http::{HeaderName, HeaderValue};

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1","status":"succeeded"}"#;
const TIME: i64 = 1_700_000_000;

// Computed with Python's hmac and hashlib over "1700000000." and the body, and over the body alone.
const STRIPE_BY_WHSEC: &str = "c6f31e60668813b5f437261b08580bed99aa06250c954a85dab7a792a28937bd";
const STRIPE_BY_PLAIN: &str = "0bdf4faab9628d90019c9b292444da017708c8b3949ee0f9cd290d15ee57c5de";
const PLAIN: &str = "6d2d669b31c306fe8f0e68aa60c4da72d720aea21f8d521f55d758a8ca71aa0c";

fn secrets(list: &str) -> WebhookSecrets {
    WebhookSecrets::from_setting(Some(&Secret::from(list.to_owned())))
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )
    };
    pairs.iter().map(pair).collect()
}

fn check(
    pairs: &[(&'static str, &str)],
    list: &str,
    seconds: i64,
) -> Result<Option<String>, SignatureInvalid> {
    let verified = verify(
        &headers(pairs),
        BODY,
        &secrets(list),
        Timestamp(seconds * 1_000_000),
    );
    verified.map(|verified| verified.key(|| Some("evt_1".to_owned())))
}

fn key(key: &str) -> Result<Option<String>, SignatureInvalid> {
    Ok(Some(key.to_owned()))
}

#[test]
fn stripe_signatures_match_vectors_made_in_python() {
    let by_plain = format!("t={TIME},v1={STRIPE_BY_PLAIN}");
    assert_eq!(
        check(&[("stripe-signature", &by_plain)], "plain-secret", TIME),
        key("evt_1")
    );
    assert_eq!(
        check(
            &[("stripe-signature", &by_plain), ("x-idempotency-key", "k")],
            "plain-secret",
            TIME
        ),
        key("k")
    );
    // A whsec_ secret is used whole here.
    let by_whsec = format!("t={TIME},v0=00,v1=zz,v1={STRIPE_BY_WHSEC}");
    assert_eq!(
        check(
            &[("stripe-signature", &by_whsec)],
            "other,whsec_c2VjcmV0LWtleQ==",
            TIME
        ),
        key("evt_1")
    );
    assert_eq!(
        check(&[("stripe-signature", &by_whsec)], "plain-secret", TIME),
        Err(SignatureInvalid)
    );
}

#[test]
fn plain_signatures_match_a_vector_made_in_python() {
    let with_key = |signature: &str| {
        check(
            &[
                ("x-webhook-signature", signature),
                ("x-idempotency-key", "k"),
            ],
            "plain-secret",
            0,
        )
    };
    assert_eq!(with_key(PLAIN), key("k"));
    assert_eq!(with_key(&PLAIN.to_uppercase()), key("k"));
    assert_eq!(with_key(&format!("sha256={PLAIN}")), key("k"));
    assert_eq!(
        check(&[("x-webhook-signature", PLAIN)], "plain-secret", 0),
        Ok(None),
        "only Stripe uses the body's id"
    );
    for wrong in ["", "sha256=", "zz", &PLAIN[..62], STRIPE_BY_PLAIN] {
        assert_eq!(with_key(wrong), Err(SignatureInvalid), "{wrong}");
    }
}

#[test]
fn standard_webhooks_match_their_own_library() {
    for secret in [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_c2VjcmV0LWtleS1sb25nLWVub3VnaA==",
    ] {
        let oracle = standardwebhooks::Webhook::new(secret).unwrap();
        let signature = oracle.sign("msg_1", TIME, BODY).unwrap();
        let time = TIME.to_string();
        let sent = |signature: &str, list: &str, seconds| {
            let sent = [
                ("webhook-id", "msg_1"),
                ("webhook-timestamp", &*time),
                ("webhook-signature", signature),
            ];
            check(&sent, list, seconds)
        };
        assert_eq!(sent(&signature, secret, TIME), key("msg_1"));
        assert_eq!(
            sent(
                &format!("v2,x v1,AAAA {signature}"),
                &format!("old, {secret}"),
                TIME
            ),
            key("msg_1")
        );
        assert_eq!(
            sent(&signature, "whsec_b3RoZXI=", TIME),
            Err(SignatureInvalid)
        );
        assert_eq!(sent(&signature, "whsec_???", TIME), Err(SignatureInvalid));
        assert_eq!(sent(&signature, "", TIME), Err(SignatureInvalid));
        for (seconds, is_valid) in [
            (TIME + 300, true),
            (TIME + 301, false),
            (TIME - 300, true),
            (TIME - 301, false),
        ] {
            assert_eq!(
                sent(&signature, secret, seconds).is_ok(),
                is_valid,
                "{seconds}"
            );
        }
    }
}

#[test]
fn altered_bodies_are_rejected() {
    let headers = headers(&[("x-webhook-signature", PLAIN)]);
    let verified = verify(&headers, b"{}", &secrets("plain-secret"), Timestamp(0));
    assert_eq!(verified, Err(SignatureInvalid));
}

#[test]
fn first_scheme_with_headers_decides_alone() {
    let plain = ("x-webhook-signature", PLAIN);
    for other in [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1"),
        ("stripe-signature", "t=1,v1=00"),
    ] {
        assert_eq!(
            check(&[plain, other], "plain-secret", TIME),
            Err(SignatureInvalid),
            "{other:?}"
        );
    }
    assert_eq!(check(&[], "plain-secret", TIME), Err(SignatureInvalid));
    let mut twice = headers(&[plain]);
    twice.append("x-webhook-signature", HeaderValue::from_static(PLAIN));
    assert_eq!(
        verify(&twice, BODY, &secrets("plain-secret"), Timestamp(0)),
        Err(SignatureInvalid)
    );
}

#[test]
fn malformed_times_are_rejected() {
    for time in [
        "",
        "-1",
        "+1700000000",
        "1700000000.0",
        "99999999999999999999999",
        "now",
    ] {
        let header = format!("t={time},v1={STRIPE_BY_PLAIN}");
        assert_eq!(
            check(&[("stripe-signature", &header)], "plain-secret", TIME),
            Err(SignatureInvalid),
            "{time}"
        );
    }
}

#[test]
fn random_signatures_are_rejected() {
    let mut seed = 1_u64;
    for _ in 0..2000 {
        let bytes: Vec<u8> = (0..40)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as u8 | 0x20
            })
            .filter(|byte| *byte != 0x7f)
            .collect();
        let value = HeaderValue::from_bytes(&bytes).unwrap();
        for name in [
            "webhook-signature",
            "stripe-signature",
            "x-webhook-signature",
        ] {
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value.clone())]);
            assert_eq!(
                verify(&headers, BODY, &secrets("plain-secret"), Timestamp(0)),
                Err(SignatureInvalid)
            );
        }
    }
}
