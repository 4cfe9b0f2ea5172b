//! How far a command has come: a bar on terminals, a line now and then in logs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines of a log.
const EVERY: Duration = Duration::from_secs(10);

/// Counts what is done of a number of images.
pub(super) struct Counter {
    bar: ProgressBar,
    beat: Beat,
    start: Instant,
    what: &'static str,
}

impl Counter {
    /// Of so many images; `what` says what is done with them, `name` which they are.
    pub(super) fn new(what: &'static str, name: &str, all: usize) -> Self {
        Self {
            bar: progress_bar(all, what).with_message(name.to_owned()),
            beat: Beat::new(),
            start: Instant::now(),
            what,
        }
    }

    /// Takes what is done with them next.
    pub(super) fn set_what(&mut self, what: &'static str) {
        if self.what != what {
            self.bar.set_prefix(what);
            (self.what, self.start) = (what, Instant::now());
        }
    }

    /// So many of so many are done.
    pub(super) fn show(&mut self, done: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        if self.bar.is_hidden() && self.beat.is_due() {
            let left =
                self.start.elapsed().as_secs_f64() * all.saturating_sub(done) as f64 / done.max(1) as f64;
            let left = in_words(Duration::from_secs_f64(left));
            eprintln!("{}: {done} of {all}, {left} left", self.what);
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Says when a log is to get its next line.
pub(super) struct Beat(Instant);

impl Beat {
    /// The first line comes after a while.
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether it is time.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.0.elapsed() >= EVERY;
        if due {
            self.0 = Instant::now();
        }
        due
    }
}

/// A progress bar on standard error; plain terminals and pipes get none.
pub(super) fn progress_bar(steps: usize, what: &'static str) -> ProgressBar {
    const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} {msg} {eta}";
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style).with_prefix(what)
}

/// A time, as precisely as an estimate is.
pub(super) fn in_words(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    match time.as_secs() {
        seconds @ ..MINUTE => format!("{} s", seconds.max(1)),
        seconds @ MINUTE..HOUR => format!("{} min", seconds.div_ceil(MINUTE)),
        seconds => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_words() {
        let said = [0, 40, 61, 3600, 4500].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(said, ["1 s", "40 s", "2 min", "1 h 0 min", "1 h 15 min"]);
    }

    #[test]
    fn a_log_gets_a_line_now_and_then() {
        let mut beat = Beat::new();
        assert!(!beat.is_due());
        if let Some(earlier) = Instant::now().checked_sub(EVERY) {
            beat.0 = earlier;
            assert!(beat.is_due() && !beat.is_due());
        }
    }
}
