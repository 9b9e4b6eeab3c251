//! Where guests may connect to: public addresses, and what the operator allows by address and port.

use crate::resolver::Resolver;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// How far guests reach by themselves, before anything is allowed by address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Nowhere at all, as while a heap snapshot is made.
    Nothing,
    /// The public internet over TCP, less the mail port (25), from which only spam comes.
    ///
    /// Not this machine, not its networks, and no UDP: what leaves over it carries no proof that the other side wants it,
    /// so one guest could flood strangers or ride a name server's answers. Names are resolved by the host instead.
    #[default]
    Public,
    /// Everything that this process reaches, its own machine included, and listening on it: for a program that its
    /// user starts by hand. This is no sandbox for the network.
    Host,
}

/// The outbound network policy of one app, for HTTP and for sockets alike.
///
/// The *resolved* address is what is checked, at the moment of dialling: a name that resolves to a private address is
/// refused however it is spelled, and a name that changes its mind between check and connection gains nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressPolicy {
    /// How far guests reach by themselves.
    pub reach: Reach,
    /// What they may reach beside that: the app's databases.
    pub allowed: Vec<Destination>,
}

impl EgressPolicy {
    /// No connection may be made.
    pub fn closed() -> Self {
        Self {
            reach: Reach::Nothing,
            allowed: Vec::new(),
        }
    }

    /// Everything may be reached, and listened on.
    pub fn host() -> Self {
        Self {
            reach: Reach::Host,
            allowed: Vec::new(),
        }
    }

    /// This policy, with more destinations allowed.
    #[must_use]
    pub fn with(mut self, more: &[Destination]) -> Self {
        self.allowed.extend_from_slice(more);
        self
    }

    /// Whether nothing may be reached at all.
    pub fn is_closed(&self) -> bool {
        self.reach == Reach::Nothing
    }

    /// Whether guests may use the network as this process does: bind, listen, send datagrams.
    pub fn is_host(&self) -> bool {
        self.reach == Reach::Host
    }

    /// Whether a TCP connection to this address may be made. Names that are allowed are not looked at.
    pub fn permits(&self, address: SocketAddr) -> bool {
        match self.reach {
            Reach::Nothing => false,
            Reach::Host => true,
            Reach::Public => {
                let address = SocketAddr::new(canonical(address.ip()), address.port());
                let is_open = is_public(address.ip()) && address.port() != MAIL_PORT;
                is_open || self.allowed.iter().any(|one| one.contains(address))
            }
        }
    }

    /// Whether a connection to this address, found under this name, may be made.
    pub(crate) fn permits_named(&self, name: &str, address: SocketAddr) -> bool {
        self.permits(address)
            || (self.reach == Reach::Public
                && self.allowed.iter().any(|one| {
                    one.name()
                        .is_some_and(|allowed| allowed.eq_ignore_ascii_case(name))
                        && one.takes_port(address.port())
                }))
    }

    /// Whether a connection to this address may be made, by whatever name the guest found it: the names that are allowed
    /// are resolved by the host, because the guest's word for where an address came from is worth nothing.
    pub(crate) async fn permits_resolved(&self, address: SocketAddr, resolver: &Resolver) -> bool {
        if self.permits(address) {
            return true;
        }
        let address = SocketAddr::new(canonical(address.ip()), address.port());
        let names = self
            .allowed
            .iter()
            .filter(|one| one.takes_port(address.port()))
            .filter_map(Destination::name);
        for name in names {
            let found = resolver.resolve(name).await.unwrap_or_default();
            if found.iter().any(|ip| canonical(*ip) == address.ip()) {
                return !self.is_closed();
            }
        }
        false
    }
}

const MAIL_PORT: u16 = 25;

/// Something outside the public internet that guests may reach: `10.0.0.5:5432`, `10.0.0.0/8:5432`, `[fd00::5]:5432`,
/// `db.internal:5432`. Without a port, every port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    host: DestinationHost,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DestinationHost {
    /// An address and how many of its leading bits count.
    Network(IpAddr, u8),
    Name(String),
}

/// A text that is no [`Destination`].
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "\"{0}\" is no destination\n  hint: write 10.0.0.5:5432, 10.0.0.0/8:5432, [fd00::5]:5432 or db.internal:5432"
)]
pub struct DestinationError(String);

impl Destination {
    fn contains(&self, address: SocketAddr) -> bool {
        let DestinationHost::Network(network, bits) = &self.host else {
            return false;
        };
        self.takes_port(address.port())
            && match (network, address.ip()) {
                (IpAddr::V4(network), IpAddr::V4(ip)) => {
                    let shift = 32 - u32::from(*bits);
                    (network.to_bits() ^ ip.to_bits())
                        .checked_shr(shift)
                        .unwrap_or(0)
                        == 0
                }
                (IpAddr::V6(network), IpAddr::V6(ip)) => {
                    let shift = 128 - u32::from(*bits);
                    (network.to_bits() ^ ip.to_bits())
                        .checked_shr(shift)
                        .unwrap_or(0)
                        == 0
                }
                _ => false,
            }
    }

    fn name(&self) -> Option<&str> {
        match &self.host {
            DestinationHost::Name(name) => Some(name),
            DestinationHost::Network(..) => None,
        }
    }

    fn takes_port(&self, port: u16) -> bool {
        self.port.is_none_or(|one| one == port)
    }
}

impl From<SocketAddr> for Destination {
    fn from(address: SocketAddr) -> Self {
        let ip = canonical(address.ip());
        Self {
            host: DestinationHost::Network(ip, bits_of(ip)),
            port: Some(address.port()),
        }
    }
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let wrong = || DestinationError(text.to_owned());
        let (host, port) = match text.rsplit_once(':') {
            // A bare IPv6 address has colons of its own; with a port it stands in brackets.
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let host = host
            .strip_prefix('[')
            .map_or(Some(host), |inner| inner.strip_suffix(']'))
            .ok_or_else(wrong)?;
        let (address, bits) = match host.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (host, None),
        };
        let host = match address.parse::<IpAddr>() {
            Ok(ip) => {
                let bits = bits.unwrap_or_else(|| bits_of(ip));
                if bits > bits_of(ip) {
                    return Err(wrong());
                }
                DestinationHost::Network(ip, bits)
            }
            Err(_) if bits.is_none() && is_name(address) => {
                DestinationHost::Name(address.to_ascii_lowercase())
            }
            Err(_) => return Err(wrong()),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            DestinationHost::Name(name) => formatter.write_str(name)?,
            DestinationHost::Network(ip, bits) => {
                let network = if *bits == bits_of(*ip) {
                    ip.to_string()
                } else {
                    format!("{ip}/{bits}")
                };
                if ip.is_ipv6() && self.port.is_some() {
                    write!(formatter, "[{network}]")?;
                } else {
                    formatter.write_str(&network)?;
                }
            }
        }
        match self.port {
            Some(port) => write!(formatter, ":{port}"),
            None => Ok(()),
        }
    }
}

fn bits_of(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// A host name, and not a mistyped address: its last label is no number.
fn is_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && !last.is_empty()
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
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
        let policy = EgressPolicy::default().with(&["127.0.0.1:5432".parse().unwrap()]);
        assert!(policy.permits("127.0.0.1:5432".parse().unwrap()));
        assert!(policy.permits("[::ffff:127.0.0.1]:5432".parse().unwrap()));
        assert!(!policy.permits("127.0.0.1:5433".parse().unwrap()));
    }

    #[test]
    fn the_mail_port_is_shut_until_it_is_allowed() {
        let mail = "93.184.216.34:25".parse().unwrap();
        assert!(!EgressPolicy::default().permits(mail));
        assert!(EgressPolicy::default().with(&[mail.into()]).permits(mail));
    }

    #[test]
    fn a_closed_policy_permits_nothing_and_an_open_one_everything() {
        let allowed = ["8.8.8.8:53".parse().unwrap()];
        assert!(
            !EgressPolicy::closed()
                .with(&allowed)
                .permits("8.8.8.8:53".parse().unwrap())
        );
        assert!(EgressPolicy::host().permits("127.0.0.1:25".parse().unwrap()));
    }

    #[test]
    fn destinations_are_networks_addresses_or_names() {
        let contains = |destination: &str, address: &str| {
            let destination: Destination = destination.parse().unwrap();
            destination.contains(address.parse().unwrap())
        };
        assert!(contains("10.0.0.0/8:5432", "10.200.3.4:5432"));
        assert!(!contains("10.0.0.0/8:5432", "11.0.0.1:5432"));
        assert!(!contains("10.0.0.0/8:5432", "10.200.3.4:5433"));
        assert!(contains("10.0.0.5", "10.0.0.5:1"));
        assert!(contains("0.0.0.0/0", "10.0.0.5:1"));
        assert!(contains("[fd00::/8]:80", "[fdaa::1]:80"));
        assert!(contains("::/0", "[fdaa::1]:80"));
        assert!(!contains("::/0", "10.0.0.5:80"));
        assert!(!contains("db.internal:5432", "10.0.0.5:5432"));
    }

    #[test]
    fn a_destination_is_written_as_it_is_read() {
        for text in [
            "10.0.0.5:5432",
            "10.0.0.0/8:5432",
            "10.0.0.5",
            "[fd00::5]:5432",
            "[fd00::/8]:80",
            "fd00::5",
            "db.internal:5432",
            "db.internal",
        ] {
            assert_eq!(text.parse::<Destination>().unwrap().to_string(), text);
        }
        for wrong in [
            "",
            ":80",
            "10.0.0.5:",
            "10.0.0.5:66000",
            "10.0.0/8:80",
            "10.0.0.0/33:80",
            "[fd00::5:80",
            "http://db",
            "a b:1",
            "name/8:1",
        ] {
            assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_is_allowed_for_its_own_addresses_on_its_port() {
        let policy = EgressPolicy::default().with(&["db.internal:5432".parse().unwrap()]);
        let address = "10.0.0.5:5432".parse().unwrap();
        assert!(policy.permits_named("DB.internal", address));
        assert!(!policy.permits_named("other.internal", address));
        assert!(!policy.permits_named("db.internal", "10.0.0.5:5433".parse().unwrap()));
        assert!(!policy.permits(address));
    }

    #[tokio::test]
    async fn an_address_is_allowed_when_an_allowed_name_resolves_to_it() {
        let resolver = Resolver::default();
        let policy = EgressPolicy::default().with(&["localhost:5432".parse().unwrap()]);
        let permits = async |address: &str| {
            policy
                .permits_resolved(address.parse().unwrap(), &resolver)
                .await
        };
        assert!(permits("127.0.0.1:5432").await);
        assert!(!permits("127.0.0.1:5433").await);
        assert!(!permits("127.0.0.2:5432").await);
    }
}
