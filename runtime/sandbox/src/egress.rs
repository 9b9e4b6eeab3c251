//! Where guests may connect to: public addresses, and what the operator allows by exact address and port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The outbound network policy of one app.
///
/// The *resolved* address is what is checked, at the moment of dialling, for HTTP and for sockets alike: a name
/// that resolves to a private address is refused however it is spelled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Addresses outside the public internet that the app may reach (its databases).
    pub allowed: Vec<SocketAddr>,
    /// No network at all, as while a heap snapshot is made.
    pub closed: bool,
}

impl EgressPolicy {
    /// No connection may be made.
    pub fn closed() -> Self {
        Self {
            allowed: Vec::new(),
            closed: true,
        }
    }

    /// Whether a connection to this address may be made.
    pub fn permits(&self, address: SocketAddr) -> bool {
        if self.closed {
            return false;
        }
        let canonical = SocketAddr::new(canonical(address.ip()), address.port());
        self.allowed.contains(&canonical)
            || self.allowed.contains(&address)
            || is_public(canonical.ip())
    }
}

/// The IPv4 address inside an IPv6 one, where the IPv6 address is only a way to write it.
fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    if let Some(v4) = v6.to_ipv4_mapped() {
        return IpAddr::V4(v4);
    }
    let segments = v6.segments();
    match segments {
        // :: and ::1 are themselves.
        [0, 0, 0, 0, 0, 0, 0, _] => ip,
        // ::a.b.c.d (deprecated); 64:ff9b::/96 (NAT64); 2002::/16 (6to4)
        [0, 0, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => IpAddr::V4(embedded(high, low)),
        _ => ip,
    }
}

fn embedded(high: u16, low: u16) -> Ipv4Addr {
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// Source: IANA IPv4 Special-Purpose Address Registry.
fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(a == 0
        || a == 10
        || a == 127
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113)
        || a >= 224)
}

/// Source: IANA IPv6 Special-Purpose Address Registry: only 2000::/3 is global unicast, less its special parts.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    (segments[0] & 0xe000) == 0x2000
        && !(segments[0] == 0x2001 && segments[1] < 0x0200)
        && !(segments[0] == 0x2001 && segments[1] == 0x0db8)
        && !(segments[0] == 0x3fff && segments[1] < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(address: &str) -> bool {
        EgressPolicy::default().permits(address.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_open_and_everything_else_is_not() {
        for open in ["93.184.216.34:443", "8.8.8.8:53", "[2606:4700::1111]:443"] {
            assert!(permits(open), "{open}");
        }
        for shut in [
            "127.0.0.1:80",
            "10.1.2.3:80",
            "172.16.0.1:80",
            "172.31.255.255:80",
            "192.168.1.1:80",
            "169.254.169.254:80",
            "100.64.0.1:80",
            "0.0.0.0:80",
            "224.0.0.1:80",
            "255.255.255.255:80",
            "[::1]:80",
            "[::]:80",
            "[fe80::1]:80",
            "[fd00:ec2::254]:80",
            "[ff02::1]:80",
            "[2001:db8::1]:80",
        ] {
            assert!(!permits(shut), "{shut}");
        }
    }

    #[test]
    fn a_private_address_in_ipv6_clothes_is_refused() {
        for shut in [
            "[::ffff:127.0.0.1]:80",
            "[64:ff9b::a00:1]:80",
            "[2002:7f00:1::]:80",
            "[::7f00:1]:80",
        ] {
            assert!(!permits(shut), "{shut}");
        }
    }

    #[test]
    fn an_allowed_address_is_open_on_its_port_only() {
        let policy = EgressPolicy {
            allowed: vec!["127.0.0.1:5432".parse().unwrap()],
            closed: false,
        };
        assert!(policy.permits("127.0.0.1:5432".parse().unwrap()));
        assert!(policy.permits("[::ffff:127.0.0.1]:5432".parse().unwrap()));
        assert!(!policy.permits("127.0.0.1:5433".parse().unwrap()));
    }

    #[test]
    fn a_closed_policy_permits_nothing() {
        assert!(!EgressPolicy::closed().permits("8.8.8.8:53".parse().unwrap()));
    }
}
