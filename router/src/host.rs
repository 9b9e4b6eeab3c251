//! From a `Host` value to whom the request is for.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::limits::HOST_BYTES_MAX;

/// The suffix under which apps are reached by name.
const APP_SUFFIX: &str = ".localhost";

/// A parsed host, its name in lower case and without port and final dot.
#[derive(Debug)]
pub(crate) struct Host {
    bytes: [u8; HOST_BYTES_MAX],
    length: usize,
    kind: HostKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HostKind {
    Bare,
    App,
    Name,
}

/// For whom a host stands.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// A bare address or `localhost`: the fallback service.
    Fallback,
    /// `<app>.localhost`.
    App(&'a str),
    /// Any other name: an exact match in the table.
    Name(&'a str),
}

impl Host {
    /// Parses `name`, `name:port`, `address`, `[address]:port`; nothing when it is none of these.
    ///
    /// The name is lowered into a buffer on the stack: no allocation on the request path.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut host = Self {
            bytes: [0; HOST_BYTES_MAX],
            length: 0,
            kind: HostKind::Bare,
        };
        if let Some(rest) = value.strip_prefix(b"[") {
            let end = rest.iter().position(|&byte| byte == b']')?;
            let address = std::str::from_utf8(&rest[..end]).ok()?;
            address.parse::<Ipv6Addr>().ok()?;
            return is_port(&rest[end + 1..]).then_some(host);
        }
        let name_length = value
            .iter()
            .position(|&byte| byte == b':')
            .unwrap_or(value.len());
        let (name, port) = value.split_at(name_length);
        let name = name.strip_suffix(b".").unwrap_or(name);
        if name.is_empty() || name.len() > HOST_BYTES_MAX || !is_port(port) {
            return None;
        }
        for (to, &from) in host.bytes.iter_mut().zip(name) {
            if !(from.is_ascii_alphanumeric() || matches!(from, b'.' | b'-' | b'_')) {
                return None;
            }
            *to = from.to_ascii_lowercase();
        }
        host.length = name.len();
        host.kind = match host.name() {
            "localhost" => HostKind::Bare,
            name if name.ends_with(APP_SUFFIX) => HostKind::App,
            name if name.parse::<Ipv4Addr>().is_ok() => HostKind::Bare,
            _ => HostKind::Name,
        };
        Some(host)
    }

    pub(crate) fn destination(&self) -> Destination<'_> {
        match self.kind {
            HostKind::Bare => Destination::Fallback,
            HostKind::App => {
                Destination::App(self.name().strip_suffix(APP_SUFFIX).unwrap_or_default())
            }
            HostKind::Name => Destination::Name(self.name()),
        }
    }

    fn name(&self) -> &str {
        // Only ASCII was let in.
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Nothing, or `:` and up to five digits.
fn is_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', digits)) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Destination, Host};

    #[test]
    fn names_are_lowered_and_lose_port_and_final_dot() {
        for value in [
            "demo.localhost",
            "DEMO.LocalHost:8080",
            "demo.localhost.",
            "demo.localhost.:80",
        ] {
            let host = Host::parse(value.as_bytes()).unwrap();
            assert_eq!(host.destination(), Destination::App("demo"), "{value}");
        }
        let host = Host::parse(b"Shop.Example:443").unwrap();
        assert_eq!(host.destination(), Destination::Name("shop.example"));
    }

    #[test]
    fn bare_addresses_and_localhost_are_for_the_fallback() {
        for value in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "127.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "[::1]:8080",
        ] {
            let host = Host::parse(value.as_bytes()).unwrap();
            assert_eq!(host.destination(), Destination::Fallback, "{value}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        for value in [
            "",
            ".",
            ":80",
            "a b",
            "user@host",
            "a/b",
            "host:port",
            "host:123456",
            "[::1",
            "[zz]",
            "[::1]x",
            "a\"b",
            &long,
        ] {
            assert!(
                Host::parse(value.as_bytes()).is_none(),
                "{value:?} was taken"
            );
        }
    }
}
