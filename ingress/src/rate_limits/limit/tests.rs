//! Unit tests of a rate limit.

use axum::response::IntoResponse;
use governor::clock::FakeRelativeClock;

use super::*;

fn limit(rate: u32, clients_max: usize) -> (Limit<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    let rule = Rule::a_second(NonZeroU32::new(rate).unwrap());
    (
        Limit::with_clock("ip", rule, clients_max, clock.clone()).unwrap(),
        clock,
    )
}

/// How many requests a client gets through at once.
fn burst(limit: &Limit<FakeRelativeClock>, client: &str) -> usize {
    (0..1000)
        .take_while(|_| limit.check(client).is_ok())
        .count()
}

#[test]
fn a_client_gets_twice_its_rate_at_once_and_then_its_rate() {
    let (limit, clock) = limit(10, CLIENTS_MAX);
    assert_eq!(burst(&limit, "a"), 20);
    assert_eq!(burst(&limit, "a"), 0);
    assert_eq!(burst(&limit, "b"), 20, "others have their own");
    clock.advance(Duration::from_millis(100));
    assert_eq!(burst(&limit, "a"), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(burst(&limit, "a"), 10);
    clock.advance(Duration::from_secs(60));
    assert_eq!(burst(&limit, "a"), 20);
}

#[test]
fn no_rate_is_no_limit() {
    assert!(Limit::new("ip", None).is_none());
    assert!(Limit::new("ip", Some(0)).is_none());
    assert!(Limit::new("ip", Some(1)).is_some());
}

#[test]
fn headers_say_the_policy_what_is_left_and_when_to_come_back() {
    let (limit, _clock) = limit(1, CLIENTS_MAX);
    let mut headers = HeaderMap::new();
    limit.check("a").unwrap().add_to(&mut headers);
    assert_eq!(headers[RATE_LIMIT_POLICY], "\"ip\";q=2;w=2");
    assert_eq!(headers[RATE_LIMIT], "\"ip\";r=1;t=1");
    let mut headers = HeaderMap::new();
    limit.check("a").unwrap().add_to(&mut headers);
    assert_eq!(headers[RATE_LIMIT], "\"ip\";r=0;t=2");
    let refused = limit.check("a").unwrap_err().into_response();
    assert_eq!(refused.status().as_u16(), 429);
    assert_eq!(refused.headers()[RETRY_AFTER], "1");
    assert_eq!(refused.headers()[RATE_LIMIT_POLICY], "\"ip\";q=2;w=2");
    assert_eq!(refused.headers()[RATE_LIMIT], "\"ip\";r=0;t=1");
}

#[test]
fn sign_in_is_limited_to_ten_then_one_every_six_seconds() {
    let clock = FakeRelativeClock::default();
    let limit = Limit::with_clock("sign_in", Rule::SIGN_IN, 160, clock.clone()).unwrap();
    assert_eq!((burst(&limit, "a"), burst(&limit, "b")), (10, 10));
    let refused = limit.check("a").unwrap_err().into_response();
    assert_eq!(refused.headers()[RETRY_AFTER], "6");
    assert_eq!(
        refused.headers()[RATE_LIMIT_POLICY],
        "\"sign_in\";q=10;w=60"
    );
    clock.advance(Duration::from_secs(6));
    assert_eq!(burst(&limit, "a"), 1);
    clock.advance(Duration::from_secs(70));
    limit.sweep();
    assert!(limit.limiter.is_empty());
}

#[test]
fn whoever_comes_back_when_told_is_let_in() {
    let (limit, clock) = limit(3, CLIENTS_MAX);
    burst(&limit, "a");
    let refused = limit.check("a").unwrap_err().into_response();
    let seconds = refused.headers()[RETRY_AFTER]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    clock.advance(Duration::from_secs(seconds));
    assert!(limit.check("a").is_ok());
}

#[test]
fn a_sweep_forgets_only_those_who_are_within_their_limit() {
    let (limit, clock) = limit(10, CLIENTS_MAX);
    for client in 0..1000 {
        limit.check(&client).unwrap();
    }
    burst(&limit, "busy");
    clock.advance(Duration::from_secs(1));
    limit.sweep();
    assert_eq!(limit.limiter.len(), 1);
    assert_eq!(
        burst(&limit, "busy"),
        10,
        "what it has used is not forgotten"
    );
    clock.advance(Duration::from_secs(3));
    limit.sweep();
    assert!(limit.limiter.is_empty());
}

#[test]
fn full_limiter_shares_buckets_only_among_new_clients() {
    let clients_max = 160;
    let (limit, _clock) = limit(10, clients_max);
    let served = |client: u32| limit.check(&client).is_ok();
    assert!(served(0));
    let let_in = (1..100_000).filter(|client| served(*client)).count();
    assert_eq!(limit.limiter.len(), clients_max);
    // Each of 16 shards has its share of clients, and one bucket of 20 for all others.
    assert_eq!(let_in, clients_max - 1 + 16 * 20);
    assert_eq!(
        (0..100).take_while(|_| served(0)).count(),
        19,
        "its bucket is its own"
    );
}
