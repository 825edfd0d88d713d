//! The address that counts as the caller's: the peer's, unless it is a proxy we were told to trust.

use std::{
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use warp::http::HeaderMap;

/// A proxy, or a network of them, whose `X-Forwarded-For` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy {
    network: u128,
    prefix_bits: u32,
}

/// The text is neither an address nor a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network, as 10.0.0.7 or 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for TrustedProxy {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_malformed| NotANetwork)?;
        let own_bits = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_not_a_number| NotANetwork)?,
            None => own_bits,
        };
        if bits > own_bits {
            return Err(NotANetwork);
        }
        let prefix_bits = 128 - own_bits + bits;
        Ok(Self { network: as_bits(address) & mask(prefix_bits), prefix_bits })
    }
}

impl TrustedProxy {
    fn holds(self, address: IpAddr) -> bool {
        as_bits(address) & mask(self.prefix_bits) == self.network
    }
}

/// Both kinds of addresses as IPv6: an IPv4 peer of a dual-stack listener looks the same either way.
fn as_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
    .to_bits()
}

fn mask(prefix_bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix_bits).unwrap_or(0)
}

/// Who calls: going back from the peer, the first address that is no trusted proxy.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[TrustedProxy]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|proxy| proxy.holds(address));
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let mut client = peer;
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        // What does not parse was not written by our proxy: the last known address stands.
        let Ok(before) = hop.trim().parse() else { break };
        client = before;
    }
    client
}

/// What is limited as one: an IPv4 address, or the /64 that one IPv6 subscriber has to himself.
pub(super) fn subscriber(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & mask(64)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(peer: &str, forwarded: &[&str], trusted: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        let trusted: Vec<TrustedProxy> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(client(peer.parse().unwrap(), &headers, &trusted), expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_forwarded_address_counts_only_from_a_trusted_proxy() {
        check("9.9.9.9", &["1.2.3.4"], &[], "9.9.9.9");
        check("9.9.9.9", &["1.2.3.4"], &["10.0.0.0/8"], "9.9.9.9");
        check("10.1.1.1", &["1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.1.1.1", &["6.6.6.6, 1.2.3.4"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.1.1.1", &["6.6.6.6", "1.2.3.4, 10.2.2.2"], &["10.0.0.0/8"], "1.2.3.4");
        check("10.1.1.1", &["nonsense"], &["10.0.0.0/8"], "10.1.1.1");
        check("::ffff:10.1.1.1", &["1.2.3.4"], &["10.1.1.1"], "1.2.3.4");
        check("fd00::1", &["2001:db8::7"], &["fd00::/8"], "2001:db8::7");
    }

    #[test]
    fn a_network_has_no_more_bits_than_its_kind() {
        assert_eq!("10.0.0.0/33".parse::<TrustedProxy>(), Err(NotANetwork));
        assert_eq!("10.0.0/8".parse::<TrustedProxy>(), Err(NotANetwork));
        assert!("::/0".parse::<TrustedProxy>().unwrap().holds("1.2.3.4".parse().unwrap()));
    }

    #[test]
    fn an_ipv6_subscriber_is_its_network() {
        let one = subscriber("2001:db8:1:2:3:4:5:6".parse().unwrap());
        assert_eq!(one, subscriber("2001:db8:1:2:ffff::".parse().unwrap()));
        assert_eq!(subscriber("::ffff:1.2.3.4".parse().unwrap()), "1.2.3.4");
    }
}
