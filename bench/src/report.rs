//! The results as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::peers::{CEILING, DYNO, DYNO_03, DYNO_FRESH, SERVE, SERVE_03, SERVE_REUSE};
use crate::rounds::Table;
use crate::server::Start;
use crate::statistics::summary;

/// Everything a reader needs to judge the figures.
#[derive(Debug)]
pub struct Report {
    /// The command that made it.
    pub command: String,
    /// The day.
    pub date: String,
    /// Processors, memory, kernel.
    pub machine: String,
    /// Load average when it began and when it ended.
    pub load: (f64, f64),
    /// Programs and their versions.
    pub versions: Vec<(&'static str, String)>,
    /// Servers and what they are.
    pub servers: Vec<(&'static str, &'static str)>,
    /// Servers that could not be measured, and why.
    pub absent: Vec<(&'static str, String)>,
    /// Throughput, a table for each number of connections.
    pub tables: Vec<Table>,
    /// Starts with everything prepared before.
    pub starts: Vec<(&'static str, Vec<Start>)>,
}

impl Report {
    /// The section of `RESULTS.md`.
    pub fn markdown(&self) -> String {
        let mut text = String::from("## Throughput\n\n");
        self.head(&mut text);
        for table in &self.tables {
            throughput(&mut text, table);
        }
        self.cold(&mut text);
        text
    }

    fn head(&self, text: &mut String) {
        line(
            text,
            "A hello of 14 bytes through each server, on the same component.\n",
        );
        line(text, &format!("- Date: {}", self.date));
        line(text, &format!("- Command: `{}`", self.command));
        line(
            text,
            &format!(
                "- Machine: {}; load average {:.1} before, {:.1} after. Clients and servers share it.",
                self.machine, self.load.0, self.load.1
            ),
        );
        for (name, version) in &self.versions {
            line(text, &format!("- {name}: {version}"));
        }
        line(text, "\nServers:\n");
        for (name, about) in &self.servers {
            line(text, &format!("- **{name}**: {about}"));
        }
        for (name, reason) in &self.absent {
            line(
                text,
                &format!("- **{name}**: not measured: {}", reason.replace('\n', " ")),
            );
        }
    }

    fn cold(&self, text: &mut String) {
        if self.starts.is_empty() {
            return;
        }
        line(text, "\n### From nothing running to the first answer\n");
        line(
            text,
            "Everything built and compiled by an earlier start; medians, in milliseconds.\n",
        );
        line(
            text,
            "| server | starts | process start to ready | ready to first answer |\n|---|---:|---:|---:|",
        );
        for (name, starts) in &self.starts {
            let median = |of: fn(&Start) -> Duration| {
                summary(starts.iter().map(|start| of(start).as_secs_f64() * 1e3))
                    .map_or(f64::NAN, |s| s.median)
            };
            let (ready, first) = (median(|s| s.ready), median(|s| s.first_answer));
            line(
                text,
                &format!("| {name} | {} | {ready:.1} | {first:.2} |", starts.len()),
            );
        }
    }
}

fn throughput(text: &mut String, table: &Table) {
    let plan = table.plan;
    line(
        text,
        &format!(
            "\n### {} connection{}\n",
            plan.connections,
            if plan.connections == 1 { "" } else { "s" }
        ),
    );
    line(
        text,
        &format!(
            "{} rounds of {} s for each server in turn; medians over the rounds, quartiles in brackets.{}\n",
            plan.rounds,
            plan.cell.as_secs_f64(),
            match table.rounds_left_out() {
                0 => String::new(),
                count => format!(" {count} left out: {CEILING} itself was disturbed."),
            }
        ),
    );
    line(
        text,
        "| server | answers/s | ÷ raw hyper | p50 µs | p99 µs | server CPU µs/answer |\n|---|---:|---:|---:|---:|---:|",
    );
    for row in table.rows() {
        line(
            text,
            &format!(
                "| {} | {:.0} | {:.3} [{:.3}, {:.3}] | {:.0} | {:.0} | {:.1} |",
                row.name,
                row.rate.median,
                row.share.median,
                row.share.low,
                row.share.high,
                row.p50_micros,
                row.p99_micros,
                row.cpu_micros
            ),
        );
    }
    line(text, "");
    for (name, to) in [
        (DYNO, SERVE),
        (DYNO, SERVE_REUSE),
        (DYNO_FRESH, SERVE),
        (DYNO_03, SERVE_03),
    ] {
        if let Some(ratio) = table.ratio(name, to) {
            line(
                text,
                &format!(
                    "- {name} ÷ {to}: **{:.2}** [{:.2}, {:.2}]",
                    ratio.median, ratio.low, ratio.high
                ),
            );
        }
    }
    let failures = table.failures();
    if let Some((name, reason)) = failures.first() {
        line(
            text,
            &format!(
                "- {} cells failed and count for nothing; the first, of {name}: {reason}",
                failures.len()
            ),
        );
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
