//! What is shown while it trains: the stage, the losses, and the time left of the whole training.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::progress::{Beat, in_words, progress_bar};
use destseg_engine::arch::cost::Costs;
use destseg_engine::config::TrainConfig;
use destseg_engine::train::{Stage, StepReport};

/// How much of the smooth loss a step keeps: it is easier to read than each batch's.
const KEEP: f32 = 0.9;
/// The first line of a log comes after so many steps, which are enough for an estimate of the time left.
const FIRST_LINE: usize = 5;

/// What is shown while it trains.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    clock: Clock,
    beat: Beat,
    /// Steps done before this run.
    before: usize,
    start: Instant,
    loss: Option<f32>,
}

impl Progress {
    /// Of a training with so many steps done.
    pub(super) fn new(done: usize, config: &TrainConfig, costs: &Costs) -> Self {
        // the bar's own estimate takes all steps for alike
        const TEMPLATE: &str = "{prefix} {wide_bar} {pos}/{len} {msg}";
        let clock = Clock::new([config.student.steps, config.segmentation.steps], costs);
        let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = progress_bar(clock.steps[0] + clock.steps[1], "").with_style(style);
        bar.set_prefix(clock.name(usize::from(done > clock.steps[0])));
        Self {
            bar: bar.with_position(done as u64),
            clock,
            beat: Beat::new(),
            before: done,
            start: Instant::now(),
            loss: None,
        }
    }

    /// Takes in a step that is done.
    pub(super) fn show(&mut self, report: &StepReport) {
        let stage = usize::from(report.stage == Stage::Segmentation);
        if stage == 1 && report.step == self.clock.steps[0] + 1 {
            if let Some(loss) = self.loss.take() {
                self.bar
                    .suspend(|| eprintln!("{} done, cosine loss {loss:.4}", self.clock.name(0)));
            }
            self.bar.set_prefix(self.clock.name(1));
        }
        self.clock.step(stage, self.start.elapsed());
        let loss = self
            .loss
            .map_or(report.loss, |old| KEEP * old + (1.0 - KEEP) * report.loss);
        self.loss = Some(loss);
        let losses = match report.parts {
            None => format!("cosine {loss:.4}"),
            Some([focal, l1]) => format!("loss {loss:.4} (focal {focal:.4}, L1 {l1:.4})"),
        };
        let left = self
            .clock
            .left(report.step)
            .filter(|left| !left.is_zero())
            .map_or_else(String::new, |left| format!(", {} left", in_words(left)));
        let own = report.step - self.before;
        if self.bar.is_hidden() && (own == FIRST_LINE || self.beat.is_due()) {
            let rate = own as f64 / self.start.elapsed().as_secs_f64();
            eprintln!(
                "{}, step {} of {}: {losses}, {rate:.2} steps/s{left}",
                self.clock.name(stage),
                report.step,
                self.clock.steps[0] + self.clock.steps[1]
            );
        }
        self.bar.set_message(losses + &left);
        self.bar.set_position(report.step as u64);
    }

    /// After the last step.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
        let last = usize::from(self.clock.steps[1] > 0);
        if let Some(loss) = self.loss {
            eprintln!("{} done, loss {loss:.4}", self.clock.name(last));
        }
    }
}

/// Estimates the time left from that of the steps so far.
#[derive(Debug)]
struct Clock {
    /// Steps of both stages.
    steps: [usize; 2],
    /// Time of a step of stage 2, as a multiple of one of stage 1, until it is known.
    ratio: f64,
    /// Steps of both stages whose time is known, and that time together.
    known: [(u32, Duration); 2],
    /// When the last step ended.
    last: Option<Duration>,
}

impl Clock {
    fn new(steps: [usize; 2], costs: &Costs) -> Self {
        let [teacher, student, segmentation] =
            [costs.teacher, costs.student, costs.segmentation].map(|own| own.macs as f64);
        // a backward pass computes twice what its forward pass does
        let (first, second) = (teacher + 3.0 * student, teacher + student + 3.0 * segmentation);
        Self {
            steps,
            ratio: second / first,
            known: [(0, Duration::ZERO); 2],
            last: None,
        }
    }

    /// A step has ended at this time. The first one is left out, because much is set up in it.
    fn step(&mut self, stage: usize, now: Duration) {
        if let Some(last) = self.last.replace(now) {
            let (steps, time) = &mut self.known[stage];
            *steps += 1;
            *time += now.saturating_sub(last);
        }
    }

    /// The time left after so many steps; none as long as none is known.
    fn left(&self, done: usize) -> Option<Duration> {
        let mean = |stage: usize| {
            let (steps, time) = self.known[stage];
            time.checked_div(steps).map(|mean| mean.as_secs_f64())
        };
        let first = self.steps[0].saturating_sub(done);
        let second = self.steps[1].min(self.steps[0] + self.steps[1] - done);
        let of_second = mean(1).or_else(|| mean(0).map(|mean| mean * self.ratio))?;
        let of_first = mean(0).unwrap_or(of_second / self.ratio);
        Some(Duration::from_secs_f64(
            first as f64 * of_first + second as f64 * of_second,
        ))
    }

    /// What a stage is called.
    fn name(&self, stage: usize) -> &'static str {
        match (self.steps, stage) {
            ([0, _] | [_, 0], _) => "training",
            (_, 0) => "stage 1 of 2",
            _ => "stage 2 of 2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use destseg_engine::config::{ModelConfig, Preset};

    #[test]
    fn the_time_left_is_that_of_both_stages() {
        let costs = Costs::of(&ModelConfig::preset(Preset::Compact));
        let mut clock = Clock {
            ratio: 0.5,
            ..Clock::new([10, 20], &costs)
        };
        let at = Duration::from_secs;
        clock.step(0, at(100));
        assert_eq!(clock.left(1), None, "the first step says nothing");
        clock.step(0, at(102));
        clock.step(0, at(104));
        // 7 steps of 2 s, 20 of 1 s
        assert_eq!(clock.left(3), Some(at(7 * 2 + 20)));
        // what is measured takes the place of what is estimated
        clock.step(1, at(107));
        assert_eq!(clock.left(11), Some(at(19 * 3)));
        assert_eq!(clock.left(30), Some(at(0)));
    }

    #[test]
    fn a_training_that_goes_on_in_stage_2_knows_its_steps_alone() {
        let costs = Costs::of(&ModelConfig::preset(Preset::Compact));
        let mut clock = Clock::new([10, 20], &costs);
        clock.step(1, Duration::from_secs(1));
        clock.step(1, Duration::from_secs(3));
        assert_eq!(clock.left(25), Some(Duration::from_secs(5 * 2)));
        assert!((0.2..2.0).contains(&clock.ratio), "{}", clock.ratio);
    }
}
