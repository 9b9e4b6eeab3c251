//! Tables of servers beside each other, as Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::peers::CEILING;
use crate::rounds::Table;
use crate::server::{Recipe, Start};
use crate::statistics::{percentile, summary};

/// Which servers there are and what they are.
pub fn servers(recipes: &[Recipe]) -> String {
    let mut text = String::from("Servers:\n\n");
    for recipe in recipes {
        line(
            &mut text,
            &format!("- **{}**: {}", recipe.name, recipe.about),
        );
    }
    text
}

/// The table of one number of connections, under a heading of this level, with the ratios of the named pairs.
pub fn rates(table: &Table, level: usize, ratios: &[(&str, &str)]) -> String {
    let plan = table.plan;
    let mut text = format!(
        "\n{} {} connection{}\n\n",
        "#".repeat(level),
        plan.connections,
        if plan.connections == 1 { "" } else { "s" }
    );
    line(
        &mut text,
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
        &mut text,
        "| server | answers/s | ÷ raw hyper | p50 µs | p99 µs | server CPU µs/answer |\n|---|---:|---:|---:|---:|---:|",
    );
    for row in table.rows() {
        line(
            &mut text,
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
    line(&mut text, "");
    for (name, to) in ratios {
        if let Some(ratio) = table.ratio(name, to) {
            line(
                &mut text,
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
            &mut text,
            &format!(
                "- {} cells failed and count for nothing; the first, of {name}: {reason}",
                failures.len()
            ),
        );
    }
    text
}

/// What a run with failed cells ends with.
pub fn failure(tables: &[Table]) -> Option<String> {
    let failed = tables.iter().any(|table| !table.failures().is_empty());
    failed.then(|| "a server gave wrong answers".to_owned())
}

/// How soon each server answers, with everything prepared before.
pub fn starts(starts: &[(&'static str, Vec<Start>)]) -> String {
    let mut text = String::new();
    if starts.is_empty() {
        return text;
    }
    line(
        &mut text,
        "\n### From nothing running to the first answer\n",
    );
    line(
        &mut text,
        "Everything built and compiled by an earlier start; medians, in milliseconds.\n",
    );
    line(
        &mut text,
        "| server | starts | process start to ready | ready to first answer |\n|---|---:|---:|---:|",
    );
    for (name, starts) in starts {
        let median = |of: fn(&Start) -> Duration| {
            summary(starts.iter().map(|start| of(start).as_secs_f64() * 1e3))
                .map_or(f64::NAN, |s| s.median)
        };
        let (ready, first) = (median(|s| s.ready), median(|s| s.first_answer));
        line(
            &mut text,
            &format!("| {name} | {} | {ready:.1} | {first:.2} |", starts.len()),
        );
    }
    text
}

/// The value that the share `at` does not exceed, in milliseconds.
pub fn millis_at(latencies: &[Duration], at: f64) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    percentile(&sorted, at).map_or_else(
        || "-".to_owned(),
        |latency| format!("{:.2}", latency.as_secs_f64() * 1e3),
    )
}

/// Adds a line.
pub fn line(text: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{line}");
}
