//! Who goes next on the guest threads: fair between dynos by CPU time and weight, in turns within a dyno.
//!
//! Every dyno has a line with a virtual time: the CPU it has used, divided by its weight. The line with the
//! smallest goes next. A dyno that was away comes back at most one slice behind the others: it goes first, but
//! cannot save up time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What a turn is charged in advance, in nanoseconds of CPU: about a tick. Without it, several threads would take
/// the same dyno at once because none of their turns had been counted yet.
const SLICE_NS: u64 = 1_000_000;

/// A line's place in its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LineId(usize);

pub(super) struct RunQueue<T> {
    lines: Vec<Line<T>>,
    /// Lines that were closed and can be given out again.
    vacant: Vec<LineId>,
    /// The lines that have something waiting: virtual time, order of arrival, line.
    turns: BinaryHeap<Reverse<(u64, u64, LineId)>>,
    arrivals: u64,
    /// The virtual time of the latest turn.
    floor: u64,
}

struct Line<T> {
    weight: u64,
    virtual_time: u64,
    waiting: VecDeque<T>,
}

impl<T> Default for RunQueue<T> {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            vacant: Vec::new(),
            turns: BinaryHeap::new(),
            arrivals: 0,
            floor: 0,
        }
    }
}

impl<T> RunQueue<T> {
    /// A new, empty line.
    pub(super) fn open(&mut self, weight: u32) -> LineId {
        let line = Line {
            weight: u64::from(weight.max(1)),
            virtual_time: 0,
            waiting: VecDeque::new(),
        };
        if let Some(id) = self.vacant.pop() {
            self.lines[id.0] = line;
            id
        } else {
            self.lines.push(line);
            LineId(self.lines.len() - 1)
        }
    }

    /// Gives up a line, in which nothing waits any more.
    pub(super) fn close(&mut self, id: LineId) {
        debug_assert!(self.lines[id.0].waiting.is_empty());
        self.vacant.push(id);
    }

    /// Puts something at the end of a line.
    pub(super) fn push(&mut self, id: LineId, item: T) {
        let earliest = self.floor.saturating_sub(SLICE_NS);
        let line = &mut self.lines[id.0];
        line.waiting.push_back(item);
        if line.waiting.len() == 1 {
            line.virtual_time = line.virtual_time.max(earliest);
            self.queue(id);
        }
    }

    /// Takes what goes next and charges its line a slice; [`RunQueue::settle`] corrects that.
    pub(super) fn take(&mut self) -> Option<T> {
        loop {
            let Reverse((promised, _, id)) = self.turns.pop()?;
            let line = &mut self.lines[id.0];
            if promised < line.virtual_time {
                // The line was charged while it waited here.
                self.queue(id);
                continue;
            }
            let Some(item) = line.waiting.pop_front() else {
                continue;
            };
            self.floor = self.floor.max(line.virtual_time);
            line.virtual_time += SLICE_NS / line.weight;
            if !line.waiting.is_empty() {
                // It may use another thread too, if nobody else wants it.
                self.queue(id);
            }
            return Some(item);
        }
    }

    /// Replaces the slice that a turn was charged by the CPU that it has used.
    pub(super) fn settle(&mut self, id: LineId, used_ns: u64) {
        let line = &mut self.lines[id.0];
        line.virtual_time =
            (line.virtual_time + used_ns / line.weight).saturating_sub(SLICE_NS / line.weight);
    }

    fn queue(&mut self, id: LineId) {
        self.arrivals += 1;
        let turn = (self.lines[id.0].virtual_time, self.arrivals, id);
        self.turns.push(Reverse(turn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURN_NS: u64 = 900_000;

    /// Turns per line after `turns` turns on one thread, where everything that waits computes for ever.
    fn share_out(lines: &[(u32, usize)], turns: usize) -> Vec<usize> {
        let mut queue = RunQueue::default();
        for (index, (weight, loops)) in lines.iter().enumerate() {
            let line = queue.open(*weight);
            for _ in 0..*loops {
                queue.push(line, (line, index));
            }
        }
        let mut counts = vec![0; lines.len()];
        for _ in 0..turns {
            let (line, index) = queue.take().unwrap();
            counts[index] += 1;
            queue.settle(line, TURN_NS);
            queue.push(line, (line, index));
        }
        counts
    }

    #[test]
    fn turns_are_shared_by_weight_and_not_by_the_number_of_calls() {
        assert_eq!(share_out(&[(1, 1), (1, 16)], 1000), [500, 500]);
        let counts = share_out(&[(4, 4), (1, 4)], 1000);
        assert!((799..=801).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn calls_of_one_dyno_take_turns() {
        let mut queue = RunQueue::default();
        let line = queue.open(1);
        for call in 0..3 {
            queue.push(line, call);
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            let call = queue.take().unwrap();
            order.push(call);
            queue.settle(line, TURN_NS);
            queue.push(line, call);
        }
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_dyno_that_comes_back_goes_first_but_has_not_saved_up_time() {
        let mut queue = RunQueue::default();
        let (busy, away) = (queue.open(1), queue.open(1));
        queue.push(busy, busy);
        for _ in 0..1000 {
            let line = queue.take().unwrap();
            queue.settle(line, TURN_NS);
            queue.push(line, line);
        }
        queue.push(away, away);
        assert_eq!(queue.take(), Some(away));
        let mut turns_of_away = 1;
        queue.settle(away, TURN_NS);
        queue.push(away, away);
        for _ in 0..99 {
            let line = queue.take().unwrap();
            turns_of_away += usize::from(line == away);
            queue.settle(line, TURN_NS);
            queue.push(line, line);
        }
        assert!((50..=52).contains(&turns_of_away), "{turns_of_away}");
    }

    #[test]
    fn one_dyno_does_not_get_two_threads_while_another_waits() {
        let mut queue = RunQueue::default();
        let (many, single) = (queue.open(1), queue.open(1));
        for _ in 0..16 {
            queue.push(many, many);
        }
        queue.push(single, single);
        // Two threads take before either of them has settled.
        let mut taken = [queue.take().unwrap(), queue.take().unwrap()];
        taken.sort();
        assert_eq!(taken, [many, single]);
        assert_eq!(queue.take(), Some(many), "a thread that is free is used");
    }

    #[test]
    fn a_closed_line_is_given_out_again_without_its_past() {
        let mut queue = RunQueue::default();
        let first = queue.open(1);
        queue.push(first, ());
        queue.take().unwrap();
        queue.settle(first, 1_000 * TURN_NS);
        queue.close(first);
        let second = queue.open(1);
        assert_eq!(first, second);
        let other = queue.open(1);
        queue.push(second, ());
        queue.push(other, ());
        assert_eq!(queue.lines[second.0].virtual_time, 0);
    }
}
