//! Whose request it is, by address: the peer's, or what a trusted proxy says.
//!
//! Anybody can send `X-Forwarded-For`. So these headers are read only when the connection itself comes from a trusted
//! proxy, and from the right: each proxy adds at the end whom it heard, so the last address that is not a trusted
//! proxy's is the last one that somebody we trust has seen. What stands left of it is the client's own word and is never
//! read. Whatever is doubtful falls back to the peer, which can't be forged.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};
use holdfast_common::settings::Networks;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address at the other end of a request's connection: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub IpAddr);

/// The client's address.
#[must_use]
pub fn client_address(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    let peer = peer.to_canonical();
    if trusted.is_empty() || !trusted.contains(peer) {
        return peer;
    }
    let told = [
        (X_FORWARDED_FOR, read_address as fn(&str) -> Option<IpAddr>),
        (FORWARDED, read_forwarded),
    ];
    let told = told.map(|(name, read)| {
        headers
            .contains_key(&name)
            .then(|| last_untrusted(headers, &name, read, trusted))
    });
    match told {
        [Some(Some(client)), None] | [None, Some(Some(client))] => client,
        // A proxy that writes one of the two passes the other on as the client sent it, so they have to agree.
        [Some(Some(first)), Some(Some(second))] if first == second => first,
        _ => peer,
    }
}

/// The part of an address that one client can't easily change: a subscriber has a whole IPv6 network of 64 bits.
#[must_use]
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

/// Goes from the right over all headers of a name; `None` as soon as something is no address.
fn last_untrusted(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
    trusted: &Networks,
) -> Option<IpAddr> {
    for value in headers.get_all(name).iter().rev() {
        for one in value.to_str().ok()?.rsplit(',') {
            let address = read(one.trim())?;
            if !trusted.contains(address) {
                return Some(address);
            }
        }
    }
    None
}

/// An address, perhaps with a port, as proxies write them.
fn read_address(text: &str) -> Option<IpAddr> {
    let bracketed = || {
        text.strip_prefix('[')?
            .strip_suffix(']')?
            .parse()
            .ok()
            .map(IpAddr::V6)
    };
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse()
        .ok()
        .or_else(bracketed)
        .or_else(with_port)
        .map(|address| address.to_canonical())
}

/// The `for` of one element of `Forwarded` (RFC 7239, section 4). Names and `unknown` are no addresses.
fn read_forwarded(element: &str) -> Option<IpAddr> {
    let mut named = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    read_address(value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    fn client(peer: &str, headers: &[(HeaderName, &'static str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, value.parse().unwrap());
        }
        let trusted = "10.0.0.0/8, 2001:db8::/32".parse().unwrap();
        client_address(peer.parse().unwrap(), &map, &trusted).to_string()
    }

    fn behind_proxy(forwarded_for: &'static str) -> String {
        client(PROXY, &[(X_FORWARDED_FOR, forwarded_for)])
    }

    #[test]
    fn only_a_trusted_proxys_word_counts() {
        assert_eq!(
            client("192.0.2.9", &[(X_FORWARDED_FOR, "198.51.100.1")]),
            "192.0.2.9"
        );
        assert_eq!(
            client("192.0.2.9", &[(FORWARDED, "for=198.51.100.1")]),
            "192.0.2.9"
        );
        assert_eq!(
            client("192.0.2.9", &[(X_FORWARDED_FOR, PROXY)]),
            "192.0.2.9"
        );
        assert_eq!(behind_proxy("198.51.100.1"), "198.51.100.1");
        assert_eq!(
            client("::ffff:10.0.0.1", &[(X_FORWARDED_FOR, "198.51.100.1")]),
            "198.51.100.1"
        );
        let nobody = client_address(
            PROXY.parse().unwrap(),
            &HeaderMap::new(),
            &Networks::default(),
        );
        assert_eq!(nobody.to_string(), PROXY);
    }

    #[test]
    fn what_a_client_writes_itself_is_left_of_what_counts() {
        assert_eq!(behind_proxy("1.1.1.1, 198.51.100.1"), "198.51.100.1");
        assert_eq!(
            behind_proxy("junk, 198.51.100.1, 10.9.9.9,10.0.0.2"),
            "198.51.100.1"
        );
        assert_eq!(behind_proxy("10.0.0.7, 198.51.100.1"), "198.51.100.1");
        let twice = [
            (X_FORWARDED_FOR, "1.1.1.1"),
            (X_FORWARDED_FOR, "198.51.100.1, 10.0.0.2"),
        ];
        assert_eq!(client(PROXY, &twice), "198.51.100.1");
        assert_eq!(
            client(
                PROXY,
                &[(FORWARDED, r#"for=1.1.1.1;host=", for=198.51.100.1"#)]
            ),
            "198.51.100.1"
        );
    }

    #[test]
    fn what_is_malformed_or_all_trusted_falls_back_to_the_peer() {
        for malformed in [
            "",
            ",",
            "198.51.100.1,",
            "unknown",
            "198.51.100.1, 300.1.1.1",
            "198.51.100.1 1.1.1.1",
        ] {
            assert_eq!(behind_proxy(malformed), PROXY, "{malformed:?}");
        }
        assert_eq!(behind_proxy("10.0.0.2, 10.0.0.3"), PROXY);
        for malformed in [
            "for=unknown",
            "for=_hidden",
            "by=198.51.100.1",
            "for",
            "for=198.51.100.1, proto=https",
        ] {
            assert_eq!(
                client(PROXY, &[(FORWARDED, malformed)]),
                PROXY,
                "{malformed:?}"
            );
        }
        assert_eq!(client(PROXY, &[]), PROXY);
    }

    #[test]
    fn the_two_headers_count_together_only_when_they_agree() {
        let both = |first, second| client(PROXY, &[(X_FORWARDED_FOR, first), (FORWARDED, second)]);
        assert_eq!(both("198.51.100.1", "for=198.51.100.1"), "198.51.100.1");
        assert_eq!(both("198.51.100.1", "for=1.1.1.1"), PROXY);
        assert_eq!(both("1.1.1.1", "for=unknown"), PROXY);
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        assert_eq!(behind_proxy("198.51.100.1:443"), "198.51.100.1");
        for text in ["2a00::1", "[2a00::1]", "[2a00::1]:443"] {
            assert_eq!(behind_proxy(text), "2a00::1");
        }
        let forwarded = |value| client(PROXY, &[(FORWARDED, value)]);
        assert_eq!(
            forwarded("For=198.51.100.1;proto=http;by=203.0.113.43"),
            "198.51.100.1"
        );
        assert_eq!(forwarded(r#"proto=https; for="[2a00::1]:4711""#), "2a00::1");
    }

    #[test]
    fn a_client_is_its_ipv4_address_or_its_ipv6_network() {
        let network = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(network("2a00:1:2:3:4:5:6:7"), "2a00:1:2:3::");
        assert_eq!(network("198.51.100.7"), "198.51.100.7");
        assert_eq!(network("::ffff:198.51.100.7"), "198.51.100.7");
    }
}
