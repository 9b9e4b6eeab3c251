//! Says how the app is reached, also where `*.localhost` is not resolved.

use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use crate::say;

/// Prints the app's address, and the way round it where a client of this machine would not find it.
pub async fn print(app: &str, listening: SocketAddr) {
    let host = format!("{app}.localhost:{}", listening.port());
    say::line(format!(
        "{}{}",
        say::green("----->"),
        say::bold(format!(" {app} is up"))
    ));
    say::line(format!("       {}", say::bold(format!("http://{host}"))));
    if !leads_to_us(&host, listening).await {
        let address = reachable(listening);
        // Browsers and curl resolve these names by themselves; a program that asks this system does not find them.
        say::line(format!(
            "       Where {app}.localhost is not resolved (this machine does not for every program):"
        ));
        say::line(format!(
            "       curl -H 'Host: {app}.localhost' http://{address}/"
        ));
    }
    say::line("       Ctrl-C stops it");
    say::line("");
}

async fn leads_to_us(host: &str, listening: SocketAddr) -> bool {
    match lookup_host(host).await {
        Ok(mut found) => found.any(|found| {
            found.ip() == listening.ip()
                || (found.ip().is_loopback() && listening.ip().is_unspecified())
        }),
        Err(_) => false,
    }
}

/// An address to connect to: a wildcard is none.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}
