//! The command line of the benchmark.

use clap::{Parser, Subcommand, ValueEnum};
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::limits::CONNECTIONS_MAX;

/// Side-by-side benchmarks of dyno, raw hyper and `wasmtime serve`.
#[derive(Debug, Parser)]
#[command(name = "dyno-bench")]
pub struct Arguments {
    /// What to measure; its section of the results is replaced.
    #[arg(long, value_enum, default_value_t = Scenario::Throughput)]
    pub scenario: Scenario,
    /// Apps of the density scenario (10,000 unless given) and of the soak (500).
    #[arg(long)]
    pub apps: Option<usize>,
    /// Requests of the soak (100,000 unless given), and of a cell of the outbound scenario (1,000).
    #[arg(long)]
    pub requests: Option<usize>,
    /// Length of a cell.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    seconds: f64,
    /// Cells of each server, for each number of connections; where there are no cells, how often all is done.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Connections at once; several numbers make several tables.
    #[arg(long, default_value = "1,32,256", value_delimiter = ',', value_parser = connections)]
    pub connections: Vec<usize>,
    /// Starts of each server for the table of cold starts.
    #[arg(long, default_value_t = 5)]
    pub starts: u16,
    /// Where the results go; `-` prints them only.
    #[arg(long, default_value = "bench/RESULTS.md")]
    pub output: PathBuf,
    /// The dyno to measure; the one beside this program otherwise.
    #[arg(long)]
    pub dyno: Option<PathBuf>,
    /// A `wasmtime` of version 48; fetched with pip otherwise.
    #[arg(long)]
    pub wasmtime: Option<PathBuf>,
    /// Where language toolchains are kept, as the tests' are; beside the build otherwise.
    #[arg(long, env = "DYNO_TEST_TOOLCHAINS", hide_env_values = true)]
    pub toolchains: Option<PathBuf>,
    /// Only servers or apps whose name contains this, and what they are compared to; may be given more than once.
    #[arg(long)]
    only: Vec<String>,
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Answers a second beside the peers, and cold starts.
    Throughput,
    /// Many idle apps on one server.
    Density,
    /// A hello beside neighbours that never end.
    Fairness,
    /// First requests of apps that are only a route.
    Cold,
    /// From source to the first answer.
    Deploy,
    /// Answers a second of Python and JavaScript apps.
    Languages,
    /// Outbound HTTP calls of a guest.
    Outbound,
    /// Many requests over many apps that change meanwhile.
    Soak,
}

#[derive(Debug, Subcommand)]
pub enum Role {
    /// Be the raw hyper server.
    #[command(hide = true)]
    RawHyper { address: SocketAddr },
}

impl Arguments {
    /// Length of a cell.
    pub fn cell(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Cells of each server, or repetitions of everything.
    pub fn rounds(&self) -> usize {
        self.rounds.into()
    }

    /// Whether a server or an app of this name is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }
}

impl Scenario {
    /// Its name on the command line and in the results file.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it measures the peer as well.
    pub fn has_peer(self) -> bool {
        match self {
            Self::Throughput | Self::Languages | Self::Outbound => true,
            Self::Density | Self::Fairness | Self::Cold | Self::Deploy | Self::Soak => false,
        }
    }
}

/// The command as typed, without the paths of this machine.
pub fn command_line() -> String {
    let named = |argument: String| {
        if argument.starts_with('/') {
            "PATH".to_owned()
        } else {
            argument
        }
    };
    let arguments: Vec<_> = env::args().skip(1).map(named).collect();
    ["cargo xtask bench".to_owned()]
        .into_iter()
        .chain((!arguments.is_empty()).then(|| "--".to_owned()))
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.05..=600.0).contains(seconds))
        .ok_or_else(|| "must be between 0.05 and 600".to_owned())
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=CONNECTIONS_MAX).contains(count))
        .ok_or_else(|| format!("must be between 1 and {CONNECTIONS_MAX}"))
}
