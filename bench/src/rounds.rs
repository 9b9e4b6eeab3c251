//! Measures servers in turn, a second each, round after round: what disturbs the machine disturbs all of them alike.

use std::time::Duration;

use crate::limits::{ANSWER_TIMEOUT, CEILING_SHARE_MIN};
use crate::load::{self, Cell};
use crate::peers::CEILING;
use crate::server::Server;
use crate::statistics::{Summary, summary};

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Length of a cell.
    pub cell: Duration,
    /// Cells of each server.
    pub rounds: usize,
    /// Connections at once.
    pub connections: usize,
}

/// One cell with what it cost its server.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// What the clients saw.
    pub cell: Cell,
    /// Server's processor time for each answer, in microseconds.
    pub cpu_micros: f64,
}

/// All cells of all servers with one number of connections.
#[derive(Debug)]
pub struct Table {
    /// How they were taken.
    pub plan: Plan,
    names: Vec<&'static str>,
    /// `rounds[round][server]`; an error is a cell in which an answer was wrong.
    rounds: Vec<Vec<Result<Measured, String>>>,
}

/// A line of the table.
#[derive(Debug)]
pub struct Row {
    /// The server.
    pub name: &'static str,
    /// Answers a second.
    pub rate: Summary,
    /// The same, divided by the ceiling's of the same round.
    pub share: Summary,
    /// Median of the rounds' medians, in microseconds.
    pub p50_micros: f64,
    /// Median of the rounds' 99th percentiles, in microseconds.
    pub p99_micros: f64,
    /// Processor time for each answer, in microseconds.
    pub cpu_micros: f64,
}

/// Runs a plan over servers that are all up; the order turns with each round.
pub async fn measure(servers: &[(&'static str, Server)], plan: Plan) -> Table {
    let mut rounds = Vec::with_capacity(plan.rounds);
    for round in 0..plan.rounds {
        let mut cells: Vec<_> = servers.iter().map(|_| Err("not run".to_owned())).collect();
        for turn in 0..servers.len() {
            let at = (round + turn) % servers.len();
            cells[at] = measure_cell(&servers[at].1, plan)
                .await
                .map_err(|error| format!("{error:#}"));
        }
        eprint!(
            "\r{} connections: round {} of {} ",
            plan.connections,
            round + 1,
            plan.rounds
        );
        rounds.push(cells);
    }
    eprintln!();
    Table {
        plan,
        names: servers.iter().map(|(name, _)| *name).collect(),
        rounds,
    }
}

#[allow(clippy::cast_precision_loss)] // counts far below 2^52
async fn measure_cell(server: &Server, plan: Plan) -> anyhow::Result<Measured> {
    let before = server.cpu_time()?;
    let cell = load::run(server.target(), plan.connections, plan.cell, ANSWER_TIMEOUT).await?;
    let spent = server.cpu_time()?.saturating_sub(before);
    Ok(Measured {
        cell,
        cpu_micros: spent.as_secs_f64() * 1e6 / cell.answers.max(1) as f64,
    })
}

impl Table {
    /// The servers that answered rightly in at least one good round.
    pub fn rows(&self) -> Vec<Row> {
        self.names
            .iter()
            .filter_map(|name| self.row(name))
            .collect()
    }

    /// The median over rounds of one server's rate divided by another's.
    pub fn ratio(&self, name: &str, to: &str) -> Option<Summary> {
        let cells = self.good_rounds().into_iter().filter_map(|round| {
            Some(self.cell(round, name)?.cell.rate() / self.cell(round, to)?.cell.rate())
        });
        summary(cells)
    }

    /// Rounds left out because the ceiling itself was disturbed.
    pub fn rounds_left_out(&self) -> usize {
        self.rounds.len() - self.good_rounds().len()
    }

    /// Every cell that failed: server and reason.
    pub fn failures(&self) -> Vec<(&'static str, &str)> {
        self.rounds
            .iter()
            .flat_map(|cells| self.names.iter().zip(cells))
            .filter_map(|(name, cell)| Some((*name, cell.as_ref().err()?.as_str())))
            .collect()
    }

    fn row(&self, name: &'static str) -> Option<Row> {
        let rounds = self.good_rounds();
        let cells = || rounds.iter().filter_map(|round| self.cell(*round, name));
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6;
        Some(Row {
            name,
            rate: summary(cells().map(|measured| measured.cell.rate()))?,
            share: self.ratio(name, CEILING)?,
            p50_micros: summary(cells().map(|measured| micros(measured.cell.p50)))?.median,
            p99_micros: summary(cells().map(|measured| micros(measured.cell.p99)))?.median,
            cpu_micros: summary(cells().map(|measured| measured.cpu_micros))?.median,
        })
    }

    fn good_rounds(&self) -> Vec<usize> {
        let ceiling = |round: usize| Some(self.cell(round, CEILING)?.cell.rate());
        let all = 0..self.rounds.len();
        let Some(usual) = summary(all.clone().filter_map(ceiling)) else {
            return Vec::new();
        };
        all.filter(|round| {
            ceiling(*round).is_some_and(|rate| rate >= usual.median * CEILING_SHARE_MIN)
        })
        .collect()
    }

    fn cell(&self, round: usize, name: &str) -> Option<&Measured> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.rounds[round][at].as_ref().ok()
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // ratios of these numbers are exact
mod tests {
    use super::*;
    use crate::peers::DYNO;

    /// What a round holds for a server that gave so many answers.
    #[allow(clippy::unnecessary_wraps)]
    fn cell(answers: usize) -> Result<Measured, String> {
        Ok(Measured {
            cell: Cell {
                answers,
                elapsed: Duration::from_secs(1),
                p50: Duration::from_micros(100),
                p99: Duration::from_micros(900),
            },
            cpu_micros: 10.0,
        })
    }

    fn table(rounds: Vec<Vec<Result<Measured, String>>>) -> Table {
        let plan = Plan {
            cell: Duration::from_secs(1),
            rounds: rounds.len(),
            connections: 1,
        };
        Table {
            plan,
            names: vec![CEILING, DYNO],
            rounds,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let table = table(vec![
            vec![cell(1000), cell(500)],
            vec![cell(2000), cell(1000)],
        ]);
        assert_eq!(table.ratio(DYNO, CEILING).unwrap().median, 0.5);
        assert_eq!(table.rows()[1].rate.median, 750.0);
    }

    #[test]
    fn a_round_with_a_disturbed_ceiling_is_left_out() {
        let table = table(vec![
            vec![cell(1000), cell(500)],
            vec![cell(1000), cell(500)],
            vec![cell(100), cell(500)],
        ]);
        assert_eq!(table.rounds_left_out(), 1);
        assert_eq!(table.ratio(DYNO, CEILING).unwrap().high, 0.5);
    }

    #[test]
    fn a_failed_cell_counts_for_nothing_but_is_told() {
        let table = table(vec![
            vec![cell(1000), Err("status 503".to_owned())],
            vec![cell(1000), cell(800)],
        ]);
        assert_eq!(table.ratio(DYNO, CEILING).unwrap().median, 0.8);
        assert_eq!(table.failures(), [(DYNO, "status 503")]);
    }

    #[test]
    fn a_server_that_never_answered_has_no_row() {
        let table = table(vec![vec![cell(1000), Err("no".to_owned())]]);
        assert_eq!(table.rows().len(), 1);
    }
}
