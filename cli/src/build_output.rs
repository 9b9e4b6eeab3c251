//! A build's output: plain lines, or on a terminal each step with the time it took and a spinner while it runs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::say;

/// Steps that were over sooner are not worth a number.
const WORTH_TELLING: Duration = Duration::from_millis(500);
const FRAME: Duration = Duration::from_millis(100);

/// Takes lines as they come.
pub struct BuildOutput {
    terminal: Option<Terminal>,
}

struct Terminal {
    spinner: ProgressBar,
    step_began: Option<Instant>,
}

impl BuildOutput {
    /// Output to standard output, with a spinner where that is a terminal.
    pub fn new() -> BuildOutput {
        let terminal = say::is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            // The template is a constant of ours; a wrong one would only cost the colour.
            if let Ok(style) =
                ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed:.dim}")
            {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(FRAME);
            Terminal {
                spinner,
                step_began: None,
            }
        });
        BuildOutput { terminal }
    }

    /// One line of output, without its newline.
    pub fn line(&mut self, line: &str) {
        match &mut self.terminal {
            None => say::line(line),
            Some(terminal) => terminal.line(line),
        }
    }

    /// Something we do ourselves, which has no line in plain output.
    pub fn doing(&mut self, what: &str) {
        if let Some(terminal) = &mut self.terminal {
            terminal.end_step();
            terminal.show(what);
        }
    }

    /// The build is over; the spinner goes.
    pub fn end(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.end_step();
            terminal.spinner.finish_and_clear();
        }
    }
}

impl Drop for BuildOutput {
    fn drop(&mut self) {
        self.end();
    }
}

impl Terminal {
    fn line(&mut self, line: &str) {
        let line = say::terminal_safe(line);
        if let Some(step) = line.strip_prefix("----->") {
            self.end_step();
            self.spinner
                .println(format!("{}{}", say::green("----->"), say::bold(step)));
            self.begin_step(step.trim());
        } else if line.starts_with(" ! ") {
            self.spinner.println(say::yellow(line).to_string());
        } else {
            self.spinner.println(line);
        }
    }

    fn begin_step(&mut self, what: &str) {
        self.step_began = Some(Instant::now());
        self.show(what);
    }

    fn show(&self, what: &str) {
        self.spinner.reset_elapsed();
        self.spinner.set_message(what.to_owned());
    }

    fn end_step(&mut self) {
        let Some(began) = self.step_began.take() else {
            return;
        };
        let took = began.elapsed();
        if took >= WORTH_TELLING {
            let words = format!("       ({:.1} s)", took.as_secs_f64());
            self.spinner.println(say::dim(words).to_string());
        }
    }
}
