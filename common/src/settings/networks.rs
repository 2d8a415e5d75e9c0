//! A list of networks in a setting, for example `10.0.0.0/8, 192.0.2.7, 2001:db8::/32`.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A list of networks. A single address is a network with one address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// A text is neither an address nor a network.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an IP address nor a network such as 10.0.0.0/8")]
pub struct NoNetwork(String);

impl Networks {
    /// Whether the list is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list contains every IPv4 address or every IPv6 address.
    #[must_use]
    pub fn contains_all(&self) -> bool {
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether a network of the list contains an address. An IPv4 address in IPv6 form (`::ffff:10.0.0.1`) counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for Networks {
    type Err = NoNetwork;

    fn from_str(list: &str) -> Result<Self, NoNetwork> {
        let one = |text: &str| {
            let network = text
                .parse::<IpNet>()
                .or_else(|_| text.parse().map(|ip: IpAddr| ip.to_canonical().into()));
            network.map_err(|_| NoNetwork(text.to_owned()))
        };
        list.split(',')
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(one)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        let networks: Networks = "10.0.0.0/8, 192.0.2.7,2001:db8::/32,::ffff:198.51.100.1,"
            .parse()
            .unwrap();
        for inside in [
            "10.255.0.1",
            "::ffff:10.1.1.1",
            "192.0.2.7",
            "2001:db8:1::1",
            "198.51.100.1",
        ] {
            assert!(networks.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "11.0.0.1",
            "192.0.2.8",
            "2001:db9::1",
            "::1",
            "198.51.100.2",
        ] {
            assert!(!networks.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn networks_reject_texts_that_are_not_networks() {
        assert!(" , ".parse::<Networks>().unwrap().is_empty());
        for wrong in [
            "10.0.0.0/33",
            "localhost",
            "10.0.0",
            "10.0.0.1:80",
            "10.0.0.1 10.0.0.2",
        ] {
            assert_eq!(wrong.parse::<Networks>(), Err(NoNetwork(wrong.to_owned())));
        }
    }
}
